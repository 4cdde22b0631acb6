"""TCP connections that start at a host: here, over sshd's forwarding, and over a relay where sshd forwards nothing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.handshake import NO_CONNECTION
from lbsync.kit.host import Host, SshSettings
from lbsync.kit.host_local import LocalHost
from lbsync.kit.host_ssh import SshHost
from lbsync.kit.stream import CLOSED, NO_ANSWER, Stream
from lbsync.testing.ports import free_port
from lbsync.testing.sshd import RunningSshd


@pytest.fixture(params=["here", "forwarded", "relayed"])
def host(request: pytest.FixtureRequest) -> Generator[Host]:
    """All ways there are."""
    if request.param == "here":
        yield LocalHost()
        return
    server: RunningSshd = request.getfixturevalue("sshd" if request.param == "forwarded" else "strict_sshd")
    over_ssh = SshHost(SshSettings.model_validate(server.settings))
    yield over_ssh
    over_ssh.close()


@contextmanager
def serving(answer: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Generator[int]:
    """A server that answers each connection in a thread of its own; its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection:
            answer(connection)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
            threads[-1].start()

    with socket.create_server((address, 0), family=family) as listener:
        accepting = threading.Thread(target=serve, daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for thread in (accepting, *threads):
        thread.join(10)
        assert not thread.is_alive()


def echo(connection: socket.socket) -> None:
    """Send back what comes, until the other side is gone."""
    while part := connection.recv(65536):
        connection.sendall(part)


def received(stream: Stream, size: int) -> bytes:
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < size:
        part = stream.receive(min(65536, size - len(data)))
        assert part, "ended early"
        data += part
    return bytes(data)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_bytes_go_both_ways(host: Host, address: str) -> None:
    """To an address of either family or a name; one question after another, each as it was sent."""
    bare = "127.0.0.1" if address == "localhost" else address.strip("[]")
    with serving(echo, bare) as port, host.connect(address, port) as stream:
        for data in (b"one\0\r\n+-", b"two", bytes(range(256))):
            stream.send(data)
            assert received(stream, len(data)) == data


def test_much_goes_both_ways(host: Host) -> None:
    """More than any buffer on the way, sent while it comes back."""
    data = os.urandom(3_000_000)
    with serving(echo) as port, host.connect("127.0.0.1", port) as stream:
        sender = threading.Thread(target=stream.send, args=(data,), daemon=True)
        sender.start()
        assert received(stream, len(data)) == data
        sender.join(10)


def test_the_end_is_seen(host: Host) -> None:
    """All that was sent before it comes first, then nothing, however often it is asked."""
    with serving(lambda connection: connection.sendall(b"bye")) as port, host.connect("127.0.0.1", port) as stream:
        assert received(stream, 3) == b"bye"
        assert stream.receive() == b""
        assert stream.receive() == b""


def test_a_reset_is_an_end(host: Host) -> None:
    """What a peer leaves unread makes the kernel reset; that is no error of the way there."""

    def leave(connection: socket.socket) -> None:
        connection.recv(1)

    with serving(leave) as port, host.connect("127.0.0.1", port) as stream:
        stream.send(b"x" * 10_000)
        assert stream.receive() == b""


def test_the_other_side_sees_our_end(host: Host) -> None:
    """Closing here closes there, relay or not: nothing is left behind on the host."""
    ended = threading.Event()

    def wait(connection: socket.socket) -> None:
        connection.recv(1)
        ended.set()

    with serving(wait) as port:
        stream = host.connect("127.0.0.1", port)
        stream.close()
        stream.close()
        assert ended.wait(10)
        with pytest.raises(Unreachable) as caught:
            stream.send(b"x" * 10)
        assert caught.value.code == CLOSED


def test_nobody_listening_is_no_connection(host: Host) -> None:
    """With its own code, and where it was tried; the next connection works."""
    port = free_port("127.0.0.1")
    for _ in range(2):
        with pytest.raises(Unreachable) as caught:
            host.connect("127.0.0.1", port)
        assert (caught.value.code, caught.value.where) == (NO_CONNECTION, f"127.0.0.1:{port}")
    with serving(echo) as open_port, host.connect("127.0.0.1", open_port) as stream:
        stream.send(b"x")
        assert received(stream, 1) == b"x"


def test_a_name_that_is_none_is_no_connection(host: Host) -> None:
    """Names are the host's to resolve."""
    with pytest.raises(Unreachable) as caught:
        host.connect("no-such-host.invalid", 443)
    assert caught.value.code == NO_CONNECTION


def test_a_silence_has_an_end(host: Host) -> None:
    """The connection stays usable: what comes later is still read."""
    go = threading.Event()

    def late(connection: socket.socket) -> None:
        go.wait(10)
        connection.sendall(b"late")

    with serving(late) as port, host.connect("127.0.0.1", port, 0.5) as stream:
        with pytest.raises(Unreachable) as caught:
            stream.receive()
        assert caught.value.code == NO_ANSWER
        go.set()
        assert received(stream, 4) == b"late"


def test_many_threads_connect_at_once(host: Host) -> None:
    """More than sshd allows sessions: each gets its own answer, and each refusal is one."""
    closed = free_port("127.0.0.1")
    with serving(echo) as port:

        def ask(number: int) -> bytes:
            try:
                with host.connect("127.0.0.1", port if number % 4 else closed) as stream:
                    stream.send(b"%d" % number)
                    return stream.receive()
            except Unreachable as error:
                return error.code.encode()

        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(ask, range(48)))
    assert answers == [b"%d" % number if number % 4 else NO_CONNECTION.encode() for number in range(48)]


def test_a_host_without_a_way_says_what_to_allow(strict_sshd: RunningSshd) -> None:
    """Neither forwarding nor python3: the message names both remedies, and commands work on."""
    stand_in = strict_sshd.directory / "bin" / "python3"
    stand_in.write_text("#!/bin/sh\necho not here >&2\nexit 127\n")
    stand_in.chmod(0o755)
    host = SshHost(SshSettings.model_validate(strict_sshd.settings))
    try:
        with pytest.raises(Rejected, match="not here") as caught:
            host.connect("127.0.0.1", 1)
        assert caught.value.code == "no_forwarding"
        assert "AllowTcpForwarding local" in caught.value.remedy
        assert host.run(["true"]).rc == 0
    finally:
        host.close()
        stand_in.unlink()


def test_relays_beyond_their_number_wait_their_turn(strict_sshd: RunningSshd) -> None:
    """One that is closed makes room for another; without room there is an error, not an endless wait."""
    host = SshHost(SshSettings.model_validate(strict_sshd.settings))
    with serving(echo) as port:
        streams = [host.connect("127.0.0.1", port) for _ in range(6)]
        with pytest.raises(Unreachable, match="open already"):
            host.connect("127.0.0.1", port, 0.2)
        assert host.run(["true"]).rc == 0
        streams.pop().close()
        streams.append(host.connect("127.0.0.1", port))
        for stream in streams:
            stream.close()
    host.close()


def test_a_connection_dies_with_its_ssh(sshd: RunningSshd) -> None:
    """It is told apart from an end that the other side made."""
    host = SshHost(SshSettings.model_validate(sshd.settings))
    with serving(echo) as port:
        stream = host.connect("127.0.0.1", port)
        host.close()
        with pytest.raises(Unreachable) as caught:
            stream.receive()
        assert caught.value.code == CLOSED
        stream.close()
