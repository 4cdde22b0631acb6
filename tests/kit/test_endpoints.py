"""Addresses, ports and the kernel's tables."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbsync.kit.endpoints import Endpoint, endpoint, established, first_clash, parse_listening

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(local: str, remote: str, state: str, inode: int = 4711) -> str:
    """One line as the kernel writes it."""
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"


def tables() -> list[str]:
    """The kernel's tables as they are now."""
    return [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]


def test_listening_sockets_are_read_from_the_kernel() -> None:
    """Addresses are little-endian words; mapped and wildcard ones are what they mean; other states are no listeners."""
    v4 = HEADER + "   0: 0A01010A:01BB 00000000:0000 0A 0\n   1: 0100007F:0050 0100007F:1234 01 0\n"
    v6 = HEADER + (
        "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0\n"
        "   1: 0000000000000000FFFF00000100007F:0019 00000000000000000000000000000000:0000 0A 0\n"
    )
    found = {(item.address, item.first) for item in parse_listening([v4, v6, ""])}
    assert found == {("10.1.1.10", 443), ("*", 80), ("127.0.0.1", 25)}


def test_the_first_clash_is_named() -> None:
    """By where it stands."""
    ends = [Endpoint("10.0.0.1", 80, 80, "a"), Endpoint("*", 400, 450, "b")]
    assert first_clash(ends, "10.0.0.2", 80) is None
    clash = first_clash(ends, "10.0.0.2", 443)
    assert clash is not None
    assert clash.where == "b"


def test_an_endpoint_is_written_with_brackets_where_it_needs_them() -> None:
    """IPv6 only."""
    assert (endpoint("10.0.0.1", 80), endpoint("fd00::1", 443), endpoint("*", 1)) == (
        "10.0.0.1:80",
        "[fd00::1]:443",
        "*:1",
    )


@pytest.mark.parametrize("peer", ["10.1.1.10", "::ffff:10.1.1.10"])
def test_connections_in_use_are_counted_by_their_state(peer: str) -> None:
    """Those that may carry a request still, in both tables; closed ones, other peers, other ports and our own port are not."""
    ours, there = "0100007F:01BB", "0A01010A:0050"
    mapped = "0000000000000000FFFF00000A01010A:0050"
    v4 = HEADER + "".join(row(ours, there, f"{state:02X}") for state in range(1, 0x0D))
    v4 += row(ours, there, "04", inode=0) + row(ours, there, "05", inode=0)
    v4 += row(ours, "0B01010A:0050", "01") + row(ours, "0A01010A:0051", "01") + row(there, ours, "01")
    v6 = HEADER + row("0" * 32 + ":01BB", mapped, "01")
    assert established([v4], peer, 80) == 5
    assert established([v4, v6], peer, 80) == 6
    assert established([v4, v6], peer, 443) == 0


def test_a_name_is_no_peer() -> None:
    """Whoever asks must resolve it where the connections are."""
    with pytest.raises(ValueError, match="ex01"):
        established([], "ex01.contoso.test", 80)


@contextmanager
def connection(address: str) -> Generator[tuple[socket.socket, socket.socket, int]]:
    """Both ends of a connection to a listener on this address, and its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((address, port), timeout=10) as ours, listener.accept()[0] as theirs:
            yield ours, theirs, port


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_real_connection_is_in_use_until_nobody_holds_it(address: str) -> None:
    """Open, half-closed by either side, and over, as this kernel tells it."""
    with connection(address) as (ours, theirs, port):
        assert established(tables(), address, port) == 1
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(1) == b""
        assert established(tables(), f"[{address}]" if ":" in address else address, port) == 1
        ours.close()
        assert established(tables(), address, port) == 0
    with connection(address) as (ours, theirs, port):
        theirs.shutdown(socket.SHUT_WR)
        assert ours.recv(1) == b""
        assert established(tables(), address, port) == 1
