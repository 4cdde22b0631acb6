"""Transactions: all commands or none, judged by the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lbsync.lab.bigip.device import BigIp
from lbsync.testing.ca import TestCA

Captured = Callable[[str], Any]
_SSL = "ltm/profile/client-ssl"
_FOLDER = "/var/config/rest/downloads"


def _number(headers: dict[str, str]) -> str:
    return headers["X-F5-REST-Coordination-Id"]


def _pair(name: str) -> list[dict[str, str]]:
    return [{"name": "one", "cert": f"/Common/{name}.crt", "key": f"/Common/{name}.key"}]


def test_shapes(admin: Any, captured: Captured) -> None:
    """Opening one and queueing a command are answered in the captured shapes; nothing runs before the commit."""
    opened = admin.tm("POST", "transaction", {})
    real = captured("transaction_create_200")
    assert set(opened) == set(real)
    assert (opened["state"], opened["timeoutSeconds"]) == (real["state"], real["timeoutSeconds"])
    headers = {"X-F5-REST-Coordination-Id": str(opened["transId"])}
    queued = admin.tm("POST", "ltm/pool/", {"name": "p"}, headers=headers)
    assert set(queued) == set(captured("transaction_command_queued_200"))
    assert (queued["method"], queued["uri"], queued["body"]) == (
        "POST",
        "https://localhost/mgmt/tm/ltm/pool",
        {"name": "p"},
    )
    assert admin.refused("GET", "ltm/pool/~Common~p", headers=headers)[0] == 404
    path = f"transaction/{opened['transId']}"
    assert admin.tm("GET", f"{path}/commands")["items"] == [queued]
    assert admin.tm("GET", path) == opened
    assert admin.tm("GET", "transaction")["items"] == [opened]
    assert admin.commit(headers)["state"] == "COMPLETED"
    assert admin.tm("GET", "ltm/pool/~Common~p")["name"] == "p"
    assert admin.refused("GET", path)[0] == 404


def test_pair_that_agrees_in_the_end(bigip: BigIp, admin: Any, plane: Any, ca: TestCA) -> None:
    """A new key and a new certificate that only agree together are taken at once, and the data plane sees one change."""
    admin.pair("a", ca)
    admin.pair("b", ca)
    admin.tm("POST", _SSL, {"name": "c", "certKeyChain": _pair("a")})
    before = len(plane.configs)
    headers = admin.transaction()
    admin.tm("PATCH", "sys/file/ssl-key/~Common~a.key", {"sourcePath": f"file:{_FOLDER}/b.key"}, headers=headers)
    admin.tm("PATCH", "sys/file/ssl-cert/~Common~a.crt", {"sourcePath": f"file:{_FOLDER}/b.crt"}, headers=headers)
    admin.commit(headers)
    assert len(plane.configs) == before + 1
    fresh, other = (bigip.object("sys/file/ssl-cert", f"/Common/{name}.crt") for name in "ab")
    assert fresh is not None
    assert other is not None
    assert fresh["fingerprint"] == other["fingerprint"]


def test_renewal(bigip: BigIp, admin: Any, plane: Any, ca: TestCA) -> None:
    """New objects and the profile that uses them come in one transaction; the undo is one PATCH."""
    admin.pair("old", ca)
    admin.tm("POST", _SSL, {"name": "c", "certKeyChain": _pair("old")})
    bundle = ca.issue(["mail.example.test"], key="ec256")
    admin.pair("spare", ca)
    admin.upload("chain", b"".join(cert.public_bytes(Encoding.PEM) for cert in bundle.chain))
    headers = admin.transaction()
    for collection, name, file in (
        ("key", "new.key", "spare.key"),
        ("cert", "new.crt", "spare.crt"),
        ("cert", "ch.crt", "chain"),
    ):
        body = {"name": name, "partition": "Common", "sourcePath": f"file:{_FOLDER}/{file}"}
        admin.tm("POST", f"sys/file/ssl-{collection}", body, headers=headers)
    chained = [{**_pair("new")[0], "chain": "/Common/ch.crt"}]
    admin.tm("PATCH", f"{_SSL}/~Common~c", {"certKeyChain": chained}, headers=headers)
    admin.commit(headers)
    config = plane.configs[-1]
    assert config.of(_SSL)["/Common/c"]["certKeyChain"][0]["chain"] == "/Common/ch.crt"
    assert config.files["/Common/ch.crt"].startswith(b"-----BEGIN CERTIFICATE")
    assert b"PRIVATE KEY" in config.files["/Common/new.key"]
    admin.tm("PATCH", f"{_SSL}/~Common~c", {"certKeyChain": _pair("old")})
    admin.tm("DELETE", "sys/file/ssl-key/~Common~new.key")
    assert bigip.object("sys/file/ssl-key", "/Common/new.key") is None


def test_failure_changes_nothing(bigip: BigIp, admin: Any, plane: Any) -> None:
    """One command that cannot run lets none run; the transaction says why, and can be deleted."""
    before = len(plane.configs)
    headers = admin.transaction()
    admin.tm("POST", "ltm/pool", {"name": "p"}, headers=headers)
    admin.tm("POST", "ltm/virtual", {"name": "v", "destination": "127.0.0.5:443", "pool": "missing"}, headers=headers)
    status, message = admin.refused(
        "PATCH", f"transaction/{_number(headers)}", {"state": "VALIDATING", "validateOnly": False}
    )
    assert (status, message) == (
        400,
        "transaction failed:01020036:3: The requested Pool (/Common/missing) was not found.",
    )
    assert len(plane.configs) == before
    assert bigip.paths("ltm/pool") == ()
    told = admin.tm("GET", f"transaction/{_number(headers)}")
    assert (told["state"], told["failureReason"]) == ("FAILED", message.removeprefix("transaction failed:"))
    assert bigip.open_transactions == 1
    admin.tm("DELETE", f"transaction/{_number(headers)}")
    assert bigip.open_transactions == 0


def test_order_and_references(admin: Any) -> None:
    """Commands run in order, and references are judged at the end: an object may go before what named it."""
    admin.tm("POST", "ltm/pool", {"name": "p"})
    admin.tm("POST", "ltm/virtual", {"name": "v", "destination": "127.0.0.5:443", "pool": "p"})
    headers = admin.transaction()
    admin.tm("DELETE", "ltm/pool/~Common~p", headers=headers)
    admin.tm("PATCH", "ltm/virtual/~Common~v", {"pool": "none"}, headers=headers)
    admin.commit(headers)
    assert "pool" not in admin.tm("GET", "ltm/virtual/~Common~v")


def test_validate_only(bigip: BigIp, admin: Any) -> None:
    """ValidateOnly judges and changes nothing."""
    headers = admin.transaction()
    admin.tm("POST", "ltm/pool", {"name": "p"}, headers=headers)
    told = admin.tm("PATCH", f"transaction/{_number(headers)}", {"state": "VALIDATING", "validateOnly": True})
    assert told["validateOnly"] is True
    assert bigip.paths("ltm/pool") == ()


def test_empty(admin: Any) -> None:
    """There is nothing to commit in an empty one, and nothing but VALIDATING to ask for."""
    headers = admin.transaction()
    assert "there is no command to commit in the transaction" in admin.refused(
        "PATCH", f"transaction/{_number(headers)}", {"state": "VALIDATING"}
    )[1]  # fmt: skip
    assert admin.refused("PATCH", f"transaction/{_number(headers)}", {"state": "DONE"})[0] == 400
    assert admin.refused("PUT", f"transaction/{_number(headers)}", {})[0] == 404


@pytest.mark.parametrize(("version", "seconds"), [("11.5.4", 30), ("12.1.2", 120), ("17.1.1", 120)])
def test_time_out(start: Callable[..., BigIp], connect: Callable[..., Any], version: str, seconds: int) -> None:
    """A transaction is over after its time, and takes no more commands."""
    device = start(version=version)
    client = connect(device)
    assert client.tm("POST", "transaction", {})["timeoutSeconds"] == seconds
    device.transaction_timeout_s = 0.05
    headers = client.transaction()
    time.sleep(0.1)
    assert client.refused("POST", "ltm/pool", {"name": "p"}, headers=headers)[0] == 404
    assert client.refused("PATCH", f"transaction/{_number(headers)}", {"state": "VALIDATING"})[0] == 404
    assert device.open_transactions == 1


def test_what_cannot_be_queued(admin: Any) -> None:
    """Saving and syncing are no commands of a transaction."""
    headers = admin.transaction()
    assert (
        "not supported in a transaction" in admin.refused("POST", "sys/config", {"command": "save"}, headers=headers)[1]
    )
