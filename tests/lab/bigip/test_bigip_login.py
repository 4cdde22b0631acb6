"""Who may talk to a device, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbsync.lab.bigip.device import BigIp

Connect = Callable[..., Any]
Captured = Callable[[str], Any]


def test_login_answer(bigip: BigIp, connect: Connect, captured: Captured) -> None:
    """A login is answered with a token in the captured shape."""
    told = connect(bigip, "").login("admin", bigip.passwords["admin"]).json()
    real = captured("login_200")
    assert set(told) == set(real)
    assert set(told["token"]) == set(real["token"])
    assert told["token"]["timeout"] == real["token"]["timeout"] == 1200
    assert len(told["token"]["token"]) == len(real["token"]["token"])


def test_wrong_password(bigip: BigIp, connect: Connect) -> None:
    """A wrong password, and a user nobody knows, are told apart by nobody."""
    client = connect(bigip, "")
    for user in ("admin", "nobody"):
        answer = client.login(user, "wrong")
        assert (answer.status_code, answer.json()["message"]) == (401, "Authentication failed.")


def test_no_token(bigip: BigIp, connect: Connect) -> None:
    """Without a token nothing is answered."""
    status, message = connect(bigip, "").refused("GET", "sys")
    assert status == 401
    assert "no user authentication header or token detected" in message


def test_basic_is_admins(bigip: BigIp, connect: Connect) -> None:
    """Basic authentication is for admin only."""
    client = connect(bigip, "")
    assert client.tm("GET", "sys", auth=("admin", bigip.passwords["admin"]))["kind"] == "tm:sys:syscollectionstate"
    assert client.refused("GET", "sys", auth=(bigip.user, bigip.password))[0] == 401
    assert client.refused("GET", "sys", headers={"Authorization": "Basic !"})[0] == 401


def test_expired_and_unknown_tokens(bigip: BigIp, connect: Connect) -> None:
    """A token whose life is over and one that never was have messages of their own."""
    client = connect(bigip)
    bigip.expire_tokens()
    assert client.refused("GET", "sys") == (401, "X-F5-Auth-Token has expired.")
    assert client.refused("GET", "sys", headers={"X-F5-Auth-Token": "X"}) == (401, "X-F5-Auth-Token does not exist.")


def test_token_life(bigip: BigIp, connect: Connect, captured: Captured) -> None:
    """A token can be prolonged to ten hours, looked at, and deleted."""
    client = connect(bigip, bigip.user)
    path = f"/mgmt/shared/authz/tokens/{client.token}"
    longer = client.raw("PATCH", path, json={"timeout": "36000"}).json()
    assert set(captured("token_patch_timeout_200")) <= set(longer)
    assert longer["timeout"] == 36000
    too_long = client.raw("PATCH", path, json={"timeout": "36001"})
    assert too_long.status_code == 406
    assert too_long.json()["message"] == "Auth-token absolute timeout (36000 seconds) exceeded"
    assert client.raw("PATCH", path, json={"timeout": "long"}).status_code == 400
    assert client.raw("GET", path).json()["timeout"] == 36000
    assert bigip.tokens_of == {"admin": 0, bigip.user: 1}
    assert client.raw("DELETE", path).status_code == 200
    assert bigip.tokens_of == {"admin": 0, bigip.user: 0}
    assert client.refused("GET", "sys") == (401, "X-F5-Auth-Token does not exist.")


@pytest.mark.parametrize(("user", "status"), [("lbsync", 400), ("admin", 200)])
def test_token_limit(bigip: BigIp, connect: Connect, user: str, status: int) -> None:
    """Every user but admin has a limit of live tokens; deleting one makes room."""
    bigip.token_limit = 2
    first, second, client = connect(bigip, user), connect(bigip, user), connect(bigip, "")
    answer = client.login(user, bigip.passwords[user])
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["message"] == f"Bad Request: user {user} has reached maximum active login tokens"
    first.raw("DELETE", f"/mgmt/shared/authz/tokens/{second.token}")
    assert client.login(user, bigip.passwords[user]).status_code == 200


def test_read_only_account(bigip: BigIp, connect: Connect) -> None:
    """An account that may only look sees everything, is refused every change by name, and still ends its own token."""
    bigip.read_only_account = True
    assert bigip.read_only_account
    client, admin = connect(bigip, bigip.user), connect(bigip)
    assert client.tm("GET", "ltm/pool")["items"] == []
    who = f"Authorization failed: user=https://localhost/mgmt/shared/authz/users/{bigip.user}"
    wanted = f"{who} resource=/mgmt/tm/ltm/pool verb=POST"
    assert client.refused("POST", "ltm/pool/", {"name": "p"}) == (401, wanted)
    assert client.refused("POST", "transaction", {})[0] == 401
    assert client.refused("DELETE", "ltm/pool/~Common~p")[1].endswith(
        "resource=/mgmt/tm/ltm/pool/~Common~p verb=DELETE"
    )
    assert client.upload("a.key", b"secret").status_code == 401
    assert bigip.downloads == ()
    admin.tm("POST", "ltm/pool", {"name": "p"})
    assert client.raw("DELETE", f"/mgmt/shared/authz/tokens/{client.token}").status_code == 200
    bigip.read_only_account = False
    connect(bigip, bigip.user).tm("DELETE", "ltm/pool/~Common~p")


def test_unknown_paths(bigip: BigIp, connect: Connect) -> None:
    """What the API does not have is answered 404."""
    client = connect(bigip)
    assert client.refused("GET", "ltm/nothing")[0] == 404
    assert client.refused("POST", "sys/version", {})[0] == 404
    assert client.raw("GET", "/mgmt/shared/nothing").status_code == 404
    assert client.raw("GET", "/mgmt/toc").status_code == 404
    assert client.raw("GET", "/tmui/login.jsp").status_code == 404
    assert client.raw("POST", "/mgmt/tm/ltm/pool", data="{").status_code == 400
