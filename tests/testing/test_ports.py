"""A port that was given out stays free for whoever it was given to."""

from __future__ import annotations

import socket
import sys

import pytest

from lbsync.testing import ports
from lbsync.testing.ports import free_port

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a port is held on Linux only")


@on_linux
def test_a_given_port_can_be_listened_on_and_is_given_to_nobody_else() -> None:
    """A program listens there; until then nobody is answered, and no other may bind it without asking to share."""
    port = free_port("127.0.0.1")
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as client:
        assert client.getpeername()[1] == port


@on_linux
def test_an_outgoing_connection_does_not_take_it() -> None:
    """More connections at once than are likely to miss it: none is given a port that was given out."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        given = {free_port("127.0.0.1") for _ in range(100)}
        clients = [socket.create_connection(server.getsockname()) for _ in range(400)]
        try:
            assert not given & {client.getsockname()[1] for client in clients}
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize("holds", [pytest.param(True, marks=on_linux), False])
def test_none_is_given_twice_in_a_row(holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may give the same one again, at once or on another address; we do not."""
    monkeypatch.setattr(ports, "_HOLDS", holds)
    given = [free_port(f"127.0.0.{1 + number}") for number in range(200)]
    assert len(set(given)) == len(given)
