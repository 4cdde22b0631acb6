"""The session to what is no BIG-IP, or to one that says nothing: told for what it is, and not waited for without end."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from lbsync.errors import Denied, Rejected, TargetError, Unreachable
from lbsync_f5 import things
from lbsync_f5.session import Address, Session
from lbsync_f5.session.adapter import Patience
from tests.f5.peers import SILENCE, Answer, Asked, Management, Peer, always, in_json, like_a_bigip, page
from tests.f5.sessions import BRIEF, LOGIN, make_pool


@pytest.fixture(scope="module")
def management(tmp_path_factory: pytest.TempPathFactory) -> Management:
    """Certificates for other servers."""
    return Management(tmp_path_factory.mktemp("management"))


@pytest.fixture
def peer(management: Management) -> Generator[Peer]:
    """A server that is logged in to like a BIG-IP, until a test has it answer otherwise."""
    with Peer(management.tls(), like_a_bigip) as peer:
        yield peer


def to(peer: Peer, management: Management, patience: Patience = BRIEF) -> Address:
    """Its address."""
    return Address(
        "127.0.0.1", peer.port, "lbsync", SecretStr("a password"), "tmos", str(management.ca_file), None, patience
    )


_ELSEWHERE: Answer = (302, {"Location": "https://127.0.0.1:1/x"}, b"")


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (_ELSEWHERE, Rejected, "redirect"),
        ((308, {"Location": "/elsewhere"}, b""), Rejected, "redirect"),
        (page(), Unreachable, "not_json"),
        (in_json({}), Rejected, "no_token"),
        (in_json([]), Rejected, "no_token"),
        (in_json({"token": {"token": ""}}), Rejected, "no_token"),
        (in_json({"token": {"token": 7}}), Rejected, "no_token"),
        (page(status=404), Rejected, "not_found"),
        (page("<html>Configuration Utility restarting...</html>"), Unreachable, "not_json"),
        (page("<html>Configuration Utility restarting...</html>", 503), Unreachable, "busy"),
        (in_json({"message": "locked"}, 403), Denied, "forbidden"),
    ],
)
def test_what_is_no_bigip_is_told_at_the_login(
    peer: Peer, management: Management, answer: Answer, kind: type[TargetError], code: str
) -> None:
    """One request is made, and no redirect followed: it would carry the password on."""
    peer.answer = always(answer)
    with pytest.raises(TargetError) as caught:
        Session(to(peer, management))
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert [one.path for one in peer.asked] == [LOGIN]
    assert "a password" not in str(caught.value)


@pytest.mark.parametrize(("answer", "code"), [(_ELSEWHERE, "redirect"), (page(), "not_json")])
def test_what_stops_to_be_a_bigip_is_told(peer: Peer, management: Management, answer: Answer, code: str) -> None:
    """No redirect is followed: it would carry the token on."""
    session = Session(to(peer, management))
    peer.answer = always(answer)
    for ask in (lambda: session.singleton("cm/sync-status"), lambda: session.collection(things.POOL)):
        with pytest.raises(TargetError) as caught:
            ask()
        assert caught.value.code == code
    session.close()
    assert {one.path for one in peer.asked} <= {
        LOGIN, "/mgmt/tm/sys/", "/mgmt/tm/cm/sync-status", "/mgmt/tm/ltm/pool/",
        "/mgmt/shared/authz/tokens/ZZ42XIKJMI6UGXDD7I3VU52EUY",
    }  # fmt: skip


@pytest.mark.parametrize("body", [[1], "x", 7, None])
def test_json_that_is_no_object_is_no_answer(peer: Peer, management: Management, body: object) -> None:
    """Whoever gives it is no BIG-IP."""
    session = Session(to(peer, management))
    peer.answer = always(in_json(body))
    with pytest.raises(Unreachable) as caught:
        session.singleton("cm/sync-status")
    assert caught.value.code == "not_json"
    session.close()


REQUESTS: dict[str, Callable[[Session], object]] = {
    "collection": lambda session: session.collection(things.POOL),
    "get": lambda session: session.get(things.POOL, "/Common/p"),
    "stats": lambda session: session.members_stats("/Common/p"),
    "create": make_pool,
    "modify": lambda session: session.modify(things.POOL, "/Common/p", {}),
    "modify-member": lambda session: session.modify_member("/Common/p", "/Common/m:1", {}),
    "delete": lambda session: session.delete(things.POOL, "/Common/p"),
    "publish-policy": lambda session: session.publish_policy("/Common/p", {}),
    "cut": lambda session: session.cut("10.0.0.1", 80),
    "save": lambda session: session.save(),
    "synchronise": lambda session: session.synchronise("/Common/g"),
    "transaction": lambda session: session.atomically(lambda: None),
    "upload": lambda session: session.uploads({"key": b"x"}).__enter__(),
    "remove-uploads": lambda session: session.remove_uploads(["key"]),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_nothing_is_waited_for_without_end(peer: Peer, management: Management, name: str) -> None:
    """Whatever the SDK takes for a time-out, the upload too: the request is given up as the settings say."""
    session = Session(to(peer, management, Patience(5, 0.5, 0)))
    peer.answer = always(SILENCE)
    with pytest.raises(Unreachable) as caught:
        REQUESTS[name](session)
    assert caught.value.code == "silent"
    session.close()


def test_a_login_is_not_waited_for_without_end(peer: Peer, management: Management) -> None:
    """Neither for its answer nor for a handshake."""
    peer.answer = always(SILENCE)
    with pytest.raises(Unreachable) as caught:
        Session(to(peer, management, Patience(5, 0.5, 0)))
    assert caught.value.code == "silent"
    with Peer(None, like_a_bigip) as mute, pytest.raises(Unreachable):
        Session(to(mute, management, Patience(0.05, 0.05, 0)))


def test_a_commit_that_is_not_answered_is_of_unknown_fate(peer: Peer, management: Management) -> None:
    """It is asked once; the transaction is given up."""
    session = Session(to(peer, management, Patience(5, 0.5, 0)))

    def answer(asked: Asked) -> Answer | None:
        return SILENCE if asked.method == "PATCH" else like_a_bigip(asked)

    peer.answer = answer
    with pytest.raises(Unreachable) as caught:
        session.atomically(lambda: None)
    session.close()
    assert "not known" in caught.value.state
    assert [one.method for one in peer.asked if one.path.startswith("/mgmt/tm/transaction/7")] == ["PATCH", "DELETE"]


def test_nobody_at_home_is_unreachable(management: Management, tmp_path: Path) -> None:
    """No listener; a CA file that is not there; a name that nobody knows."""
    with Peer(management.tls(), like_a_bigip) as peer:
        address = to(peer, management)
    with pytest.raises(Unreachable):
        Session(address)
    with pytest.raises(TargetError):
        Session(replace(address, ca=str(tmp_path / "no-such.pem")))
    with pytest.raises(Unreachable):
        Session(replace(address, host="no-such-host.invalid"))


def test_a_connection_is_not_waited_for_without_end(management: Management) -> None:
    """A host that drops what it is sent: told apart from one that is silent, since nothing can have happened."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        port = int(full.getsockname()[1])
        for _ in range(3):  # nobody takes them off the queue; what comes after is dropped
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        password, patience = SecretStr("a password"), Patience(0.2, 5, 0)
        with pytest.raises(Unreachable) as caught:
            Session(Address("127.0.0.1", port, "u", password, "tmos", str(management.ca_file), None, patience))
    assert (caught.value.code, caught.value.state) == ("no_connection", "")


def test_an_address_of_ipv6_has_brackets(management: Management) -> None:
    """In URLs, and as the SDK wants it."""
    address = Address("fd00::1", 443, "u", SecretStr("p"), "tmos", str(management.ca_file), None, BRIEF)
    assert address.url == "https://[fd00::1]:443"


def test_the_body_of_a_login_is_what_a_device_takes(peer: Peer, management: Management) -> None:
    """Name, password and provider, and the token after it in its own header."""
    Session(to(peer, management)).close()
    login, version, logout = peer.asked
    assert json.loads(login.body) == {"username": "lbsync", "password": "a password", "loginProviderName": "tmos"}
    assert (version.headers["x-f5-auth-token"], logout.method) == ("ZZ42XIKJMI6UGXDD7I3VU52EUY", "DELETE")
    assert not {"authorization", "cookie"} & (set(version.headers) | set(logout.headers))
