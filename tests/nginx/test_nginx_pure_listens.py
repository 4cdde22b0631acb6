"""Who listens where in a configuration, and what of it cannot be beside ours."""

from __future__ import annotations

import pytest

from lbsync_nginx.dump import Dump, tree_of
from lbsync_nginx.listens import Listen, conflicts, listens_of, speaks_http2, with_default, without_default

MAIN = "/etc/nginx/nginx.conf"
OURS = "/etc/nginx/conf.d/lbsync.conf"
NAME = "mail.contoso.test"


def found(text: str) -> tuple[Listen, ...]:
    """The listeners of one file."""
    return listens_of(tree_of(Dump({MAIN: text}, MAIN))[0])


def one(server: str, module: str = "http") -> Listen:
    """The only listener of one server."""
    (listen,) = found(f"{module} {{ server {{ {server} }} }}")
    return listen


@pytest.mark.parametrize(
    ("line", "address", "first", "last"),
    [
        ("443", "*", 443, 443),
        ("*:443", "*", 443, 443),
        ("0.0.0.0:443", "*", 443, 443),
        ("[::]:443", "*", 443, 443),
        ("[::]", "*", 80, 80),
        ("[2001:db8::1]", "2001:db8::1", 80, 80),
        ("[2001:db8::1]:443", "2001:db8::1", 443, 443),
        ("192.0.2.1", "192.0.2.1", 80, 80),
        ("192.0.2.1:8443", "192.0.2.1", 8443, 8443),
        ("localhost:8080", "localhost", 8080, 8080),
        ("localhost", "localhost", 80, 80),
        ("440-450", "*", 440, 450),
        ("127.0.0.1:440-450", "127.0.0.1", 440, 450),
        ("[::1]:440-450", "::1", 440, 450),
    ],
)
def test_every_form_of_a_place_is_read(line: str, address: str, first: int, last: int) -> None:
    """Port, address, name, IPv6 in brackets, ranges; without a port it is 80."""
    listen = one(f"listen {line};")
    assert (listen.address, listen.at.first, listen.at.last) == (address, first, last)
    assert listen.at.where == f"{MAIN} line 1"


@pytest.mark.parametrize(
    "line",
    ["unix:/run/x.sock", "unix:/run/x:80 ssl", "443 quic reuseport", "53 udp", "192.0.2.1:http", "192.0.2.1:1-x", ""],
)
def test_what_listens_on_no_tcp_port_is_passed_over(line: str) -> None:
    """Sockets with a path, UDP, and what NGINX itself would refuse."""
    assert found(f"stream {{ server {{ listen {line}; }} }}") == ()


@pytest.mark.parametrize(
    ("server", "tls", "http2"),
    [
        ("listen 443 ssl;", True, False),
        ("listen 443 default_server ssl http2;", True, True),
        ("listen 443; ssl on;", True, False),
        ("listen 443; ssl off;", False, False),
        ("listen 443 proxy_protocol;", False, False),
        ("listen 443 ssl; http2 on;", True, False),
    ],
)
def test_what_is_spoken_there_is_read(server: str, tls: bool, http2: bool) -> None:
    """HTTP/2 counts where it is the address's, as a word of listen; as a directive it is the server's own."""
    listen = one(server)
    assert (listen.tls, listen.http2) == (tls, http2)


def test_names_are_read_from_every_line() -> None:
    """In lower case, since host names are; each listener of a server has them all."""
    listens = found(
        f"http {{ server {{ listen 80; listen 443 ssl; server_name {NAME.upper()} a.test; server_name b.test; }} }}"
    )
    assert [(listen.port, listen.names) for listen in listens] == [
        (80, (NAME, "a.test", "b.test")),
        (443, (NAME, "a.test", "b.test")),
    ]


def test_a_server_without_a_listener_has_port_80() -> None:
    """In http; a stream server without one does not start."""
    assert one(f"server_name {NAME};") == Listen("http", "*", 80, tls=False, names=(NAME,), where=f"{MAIN} line 1")
    assert found("stream { server { proxy_pass x; } }") == ()


def test_only_servers_of_http_and_stream_listen() -> None:
    """Not those of upstreams, of mail, or of a block that is none."""
    assert (
        found("http { upstream x { server 10.0.0.1:443; } } mail { server { listen 25; } } http; server { listen 1; }")
        == ()
    )
    assert found("http { server; server 10.0.0.1; }") == ()


def wanted(module: str = "http", address: str = "192.0.2.10", port: int = 443, *, tls: bool = True) -> Listen:
    """A listener of ours."""
    return Listen("stream" if module == "stream" else "http", address, port, tls=tls, names=(NAME,))


@pytest.mark.parametrize(
    ("ours", "server", "module", "words"),
    [
        (wanted(), "listen 192.0.2.10:443 ssl; server_name a.test MAIL.contoso.test;", "http", f"serves {NAME} on 192.0.2.10:"),
        (wanted(), "listen 192.0.2.10:443 ssl;", "stream", "NGINX cannot have both"),
        (wanted(), "listen 443;", "stream", "NGINX cannot have both"),
        (wanted(), "listen 440-450;", "stream", "NGINX cannot have both"),
        (wanted("stream"), "listen 443 ssl;", "http", "in the http block, where /etc/nginx/conf.d/lbsync.conf shall listen"),
        (wanted(), "listen 192.0.2.10:443;", "http", "has 192.0.2.10:443 for plain text already"),
        (wanted(port=80, tls=False), "listen 192.0.2.10:80 ssl;", "http", "has 192.0.2.10:80 for TLS already"),
        (wanted("stream"), "listen 192.0.2.10:443 ssl;", "stream", "for TLS already"),
        (wanted(address="*"), "listen 192.0.2.10:443 ssl;", "http", "would never reach"),
        (wanted(), "listen 443 ssl; server_name other.test;", "http", "would take that address away from it"),
        (wanted("stream"), "listen 443 ssl;", "stream", "would take that address away from it"),
        (wanted(port=80, tls=False), "server_name other.test;", "http", "would take that address away from it"),
        (wanted(address="*"), f"listen 443 ssl; server_name {NAME};", "http", f"serves {NAME}"),
        (wanted(address="2001:db8::1"), f"listen [2001:db8:0::1]:443 ssl; server_name {NAME};", "http", "[2001:db8:0::1]:443"),
    ],
)  # fmt: skip
def test_a_conflict_is_told_with_its_place(ours: Listen, server: str, module: str, words: str) -> None:
    """Where it stands and what to do: most of these NGINX accepts, and then never uses our listener."""
    (told,) = conflicts([ours], [one(server, module)], OURS)
    assert told.startswith(f"{MAIN} line 1 ")
    assert words in told
    assert any(verb in told for verb in ("Move", "Take", "Set bind_address"))


@pytest.mark.parametrize(
    ("ours", "server", "module"),
    [
        (wanted(), "listen 192.0.2.10:443 ssl; server_name other.test;", "http"),
        (wanted(), "listen 192.0.2.10:443 ssl;", "http"),
        (wanted(address="*"), "listen 443 ssl; server_name other.test;", "http"),
        (wanted(address="*", port=80, tls=False), "server_name other.test;", "http"),
        (wanted(), "listen 192.0.2.11:443;", "stream"),
        (wanted(), "listen 192.0.2.10:8443;", "stream"),
        (wanted(), "listen 192.0.2.10:1-442;", "stream"),
    ],
)
def test_what_can_be_beside_ours_is_none(ours: Listen, server: str, module: str) -> None:
    """Other names, addresses and ports; an address of ours is nearer to its clients than every address of theirs."""
    assert list(conflicts([ours], [one(server, module)], OURS)) == []


def test_each_conflict_is_told_by_itself() -> None:
    """Of every listener of ours with every one of theirs."""
    theirs = found(f"http {{ server {{ listen 443; listen 80; server_name {NAME}; }} }}")
    ours = [wanted(address="*"), wanted(address="*", port=80, tls=False), wanted(address="*", port=24443)]
    assert len(list(conflicts(ours, theirs, OURS))) == 2


def test_http_2_of_another_server_is_seen_where_it_is_ours_too() -> None:
    """On our TLS address only."""
    theirs = found(
        "http { server { listen 443 ssl http2; } server { listen 8443 ssl http2; } server { listen 443 ssl; } }"
    )
    assert [listen.port for listen in speaks_http2([wanted()], theirs)] == [443]
    assert list(speaks_http2([wanted(tls=False)], theirs)) == []


def test_who_is_the_default_of_a_shared_address_is_asked() -> None:
    """Without one whoever is included first is; with one its TLS settings may hold before a name is known."""
    ours = [wanted(address="*"), wanted(address="*", port=80, tls=False)]
    plain, default = one("listen 443 ssl; server_name a.test;", "http"), one("listen 443 ssl default_server;", "http")
    assert list(without_default(ours, [plain])) == [plain]
    assert list(without_default(ours, [plain, default])) == []
    assert list(without_default([wanted("stream")], [plain])) == []
    assert list(with_default(ours, [plain, default])) == [default]
    assert list(with_default([wanted("stream")], [default])) == []
