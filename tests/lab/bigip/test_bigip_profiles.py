"""Profiles and monitors: inheritance, pairs of key and certificate, versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbsync.lab.bigip.device import BigIp
from lbsync.testing.ca import TestCA

Captured = Callable[[str], Any]
_SSL = "ltm/profile/client-ssl"
_FOLDER = "/var/config/rest/downloads"


def _pair(name: str, other: str = "") -> dict[str, str]:
    return {"name": "one", "cert": f"/Common/{other or name}.crt", "key": f"/Common/{name}.key"}


@pytest.mark.parametrize(
    ("capture", "path"),
    [
        ("get_ltm_profileclient_ssl", "ltm/profile/client-ssl"),
        ("get_ltm_profileserver_ssl", "ltm/profile/server-ssl"),
        ("get_ltm_profilehttp", "ltm/profile/http"),
        ("get_ltm_profileone_connect", "ltm/profile/one-connect"),
        ("get_ltm_profilentlm", "ltm/profile/ntlm"),
        ("get_ltm_monitorhttp", "ltm/monitor/http"),
        ("get_ltm_monitorhttps", "ltm/monitor/https"),
    ],
)
def test_base_profiles(admin: Any, captured: Captured, capture: str, path: str) -> None:
    """What a device comes with is, property by property, what a real one showed."""
    real = captured(capture)
    ours = admin.tm("GET", path)
    assert set(ours) == set(real)
    found = {one["fullPath"]: one for one in ours["items"]}
    known = [one for one in real["items"] if one["fullPath"] in found]
    assert known
    for theirs in known:
        mine = found[theirs["fullPath"]]
        assert {name: mine.get(name) for name in theirs if name != "generation"} == {
            name: value for name, value in theirs.items() if name != "generation"
        }
        assert set(mine) == set(theirs)


def test_inheritance(admin: Any) -> None:
    """A profile shows its parent's properties where it has none of its own, and follows its changes."""
    admin.tm("POST", "ltm/profile/http", {"name": "parent", "insertXforwardedFor": "enabled"})
    child = admin.tm("POST", "ltm/profile/http", {"name": "child", "defaultsFrom": "parent", "viaRequest": "remove"})
    assert (child["insertXforwardedFor"], child["viaRequest"]) == ("enabled", "remove")
    assert child["defaultsFromReference"]["link"].endswith("/ltm/profile/http/~Common~parent?ver=14.1.2.1")
    admin.tm("PATCH", "ltm/profile/http/~Common~parent/", {"insertXforwardedFor": "disabled"})
    assert admin.tm("GET", "ltm/profile/http/~Common~child")["insertXforwardedFor"] == "disabled"
    assert (
        "is in use by a HTTP Profile (/Common/child)" in admin.refused("DELETE", "ltm/profile/http/~Common~parent")[1]
    )


def test_pair_in_both_places(bigip: BigIp, admin: Any, ca: TestCA) -> None:
    """A pair set as certKeyChain is shown at the top, too; a profile that inherits shows its parent's."""
    admin.pair("a", ca)
    told = admin.tm("POST", _SSL, {"name": "c", "certKeyChain": [_pair("a")]})
    assert (told["cert"], told["key"], told["chain"]) == ("/Common/a.crt", "/Common/a.key", "none")
    assert told["certReference"]["link"].endswith("/sys/file/ssl-cert/~Common~a.crt?ver=14.1.2.1")
    assert told["certKeyChain"][0]["keyReference"]["link"].endswith("/sys/file/ssl-key/~Common~a.key?ver=14.1.2.1")
    assert told["inheritCertkeychain"] == "false"
    child = admin.tm("POST", _SSL, {"name": "d", "defaultsFrom": "/Common/c"})
    assert (child["cert"], child["inheritCertkeychain"]) == ("/Common/a.crt", "true")
    admin.pair("b", ca)
    both = admin.tm("PATCH", f"{_SSL}/~Common~c", {"cert": "/Common/b.crt", "key": "/Common/b.key"})
    assert both["certKeyChain"][0]["cert"] == "/Common/b.crt"
    new = admin.tm("POST", _SSL, {"name": "e", "cert": "b.crt", "key": "b.key", "chain": "none"})
    assert new["certKeyChain"][0]["name"] == "default"
    full = bigip.object(_SSL, "/Common/e")
    assert full is not None
    assert full["ciphers"] == "DEFAULT"


def test_what_get_showed_cannot_be_put_back(admin: Any, ca: TestCA) -> None:
    """A GET shows the pair twice, and a PUT of that is refused in the device's words."""
    admin.pair("a", ca)
    shown = admin.tm("POST", _SSL, {"name": "c", "certKeyChain": [_pair("a")]})
    assert admin.refused("PUT", f"{_SSL}/~Common~c", shown) == (
        400,
        (
            "01b4002a:3: Client SSL profile (/Common/c):cert-key-chain and profile cert/key/chain/passphrase"
            " options cannot be specified together."
        ),
    )
    assert admin.tm("PUT", f"{_SSL}/~Common~c", {"certKeyChain": [_pair("a")], "ciphers": "HIGH"})["ciphers"] == "HIGH"
    assert admin.tm("PUT", f"{_SSL}/~Common~c", {"certKeyChain": [_pair("a")]})["ciphers"] == "DEFAULT"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("13.1.3", "01070317:3: profile /Common/c's key and certificate do not match"),
        ("14.1.2.1", "01070317:3: profile /Common/c's key(/Common/a.key) and certificate(/Common/b.crt) do not match."),
    ],
)
def test_pair_that_disagrees(
    start: Callable[..., BigIp], connect: Callable[..., Any], ca: TestCA, version: str, message: str
) -> None:
    """A key and a certificate of different pairs are refused, in the words of the version, when made and when changed."""
    client = connect(start(version=version))
    client.pair("a", ca)
    client.pair("b", ca)
    assert client.refused("POST", _SSL, {"name": "c", "certKeyChain": [_pair("a", "b")]}) == (400, message)
    client.tm("POST", _SSL, {"name": "c", "certKeyChain": [_pair("a")]})
    source = {"sourcePath": f"file:{_FOLDER}/b.key"}
    status, said = client.refused("PATCH", "sys/file/ssl-key/~Common~a.key", source)
    assert status == 400
    assert said.startswith("01070317:3: profile /Common/c's key")


def test_missing_files(admin: Any, ca: TestCA) -> None:
    """A pair that names a key nobody has, or only half of it, is refused."""
    admin.pair("a", ca)
    pair = _pair("none", "a")
    assert admin.refused("POST", _SSL, {"name": "c", "certKeyChain": [pair]}) == (
        400,
        "01070277:3: The requested key (/Common/none.key) was not found.",
    )
    assert (
        admin.refused("POST", _SSL, {"name": "c", "certKeyChain": [{"name": "x", "cert": "/Common/a.crt"}]})[0] == 400
    )
    assert admin.refused("POST", _SSL, {"name": "c", "certKeyChain": [{"cert": "/Common/a.crt"}]})[0] == 400
    assert admin.refused("POST", _SSL, {"name": "c", "certKeyChain": "a"})[0] == 400
    assert "certificate (/Common/no.crt)" in admin.refused("POST", "ltm/profile/server-ssl",
                                                           {"name": "s", "caFile": "no.crt"})[1]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "shown", "empty"),
    [
        ("13.0.0", ["dont-insert-empty-fragments"], []),
        ("14.1.2.1", "{ dont-insert-empty-fragments no-tlsv1.3 }", "none"),
        ("17.1.1", "{ dont-insert-empty-fragments no-tlsv1.3 }", "none"),
    ],
)
def test_options(
    start: Callable[..., BigIp], connect: Callable[..., Any], version: str, shown: object, empty: object
) -> None:
    """TmOptions is a list on 13 and a string from 14 on; either is taken back."""
    client = connect(start(version=version))
    assert client.tm("GET", f"{_SSL}/~Common~clientssl")["tmOptions"] == shown
    assert client.tm("POST", _SSL, {"name": "c", "tmOptions": shown})["tmOptions"] == shown
    client.tm("PATCH", f"{_SSL}/~Common~c", {"ciphers": "none", "cipherGroup": "/Common/f5-default"})
    assert client.tm("PATCH", f"{_SSL}/~Common~c", {"tmOptions": ["no-ssl"]})["tmOptions"] in (["no-ssl"], "{ no-ssl }")
    assert client.tm("PATCH", f"{_SSL}/~Common~c", {"tmOptions": "none"})["tmOptions"] == empty


@pytest.mark.parametrize("version", ["14.0.0", "14.1.2.1", "17.1.1"])
def test_tls13_needs_a_cipher_group(start: Callable[..., BigIp], connect: Callable[..., Any], version: str) -> None:
    """From 14.0 on a profile without no-tlsv1.3 has no cipher string, whoever of its parents said the one or the other."""
    client = connect(start(version=version))
    client.tm("POST", _SSL, {"name": "heir", "ciphers": "DEFAULT:!TLSv1:!TLSv1_1"})
    for body in (
        {"name": "bad", "tmOptions": ["dont-insert-empty-fragments"]},
        {"name": "bad", "tmOptions": "none", "ciphers": "ECDHE"},
        {"name": "bad", "defaultsFrom": "/Common/clientssl-secure"},
    ):
        status, message = client.refused("POST", _SSL, body)
        assert status == 400
        assert "TLS 1.3 needs a cipher group" in message
    group = {"cipherGroup": "/Common/f5-default", "ciphers": "none"}
    client.tm("POST", _SSL, {"name": "parent", **group, "tmOptions": ["dont-insert-empty-fragments"]})
    client.tm("POST", _SSL, {"name": "child", "defaultsFrom": "/Common/parent"})
    assert client.refused("PATCH", f"{_SSL}/~Common~child", {"ciphers": "ECDHE", "cipherGroup": "none"})[0] == 400
    changed = client.refused("PATCH", f"{_SSL}/~Common~parent", {"ciphers": "ECDHE", "cipherGroup": "none"})
    assert changed[0] == 400
    client.tm("PATCH", f"{_SSL}/~Common~clientssl-secure", {"description": "as it came"})
    headers = client.transaction()
    client.tm("PATCH", f"{_SSL}/~Common~heir", {"tmOptions": "none"}, headers=headers)
    client.tm("PATCH", f"{_SSL}/~Common~heir", group, headers=headers)
    client.commit(headers)


def test_no_tls13_before_14(start: Callable[..., BigIp], connect: Callable[..., Any], plane: Any) -> None:
    """13 does not know the option, no base profile has it, and no traffic is carried by TLS 1.3."""
    client = connect(start(version="13.1.3", plane=plane))
    made = client.tm("POST", _SSL, {"name": "c", "ciphers": "DEFAULT:!TLSv1:!TLSv1_1"})
    assert made["tmOptions"] == ["dont-insert-empty-fragments"]
    for kind in ("client-ssl", "server-ssl"):
        body = {"name": "d", "tmOptions": ["dont-insert-empty-fragments", "no-tlsv1.3"]}
        status, message = client.refused("POST", f"ltm/profile/{kind}", body)
        assert status == 400
        assert "unknown option no-tlsv1.3" in message
    running = plane.configs[-1]
    assert running.of(_SSL)["/Common/c"]["tmOptions"] == ["dont-insert-empty-fragments", "no-tlsv1.3"]
    assert "no-tlsv1.3" in running.of("ltm/profile/server-ssl")["/Common/serverssl"]["tmOptions"]


def test_monitor_shape(admin: Any, captured: Captured) -> None:
    """A monitor that was made shows what a real one shows, and no reference to its parent."""
    real = next(one for one in captured("get_ltm_monitorhttp")["items"] if one["name"] == "http_head_f5")
    body = {"name": "m", "defaultsFrom": "/Common/http", "recv": "200 OK", "send": "GET / HTTP/1.1\\r\\n"}
    assert set(admin.tm("POST", "ltm/monitor/http", body)) == set(real)
    assert admin.refused("POST", "ltm/monitor/http", {"name": "n", "defaultsFrom": "/Common/nothing"}) == (
        404,
        "01020036:3: The requested HTTP Monitor (/Common/nothing) was not found.",
    )


def test_names_are_shared(admin: Any) -> None:
    """Two profiles of different types cannot have one name."""
    admin.tm("POST", "ltm/profile/http", {"name": "x"})
    assert admin.refused("POST", "ltm/profile/tcp", {"name": "x"})[0] == 409
