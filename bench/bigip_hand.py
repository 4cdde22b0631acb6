"""A rotation in requests written by hand, on one connection: bigip_hand.py PORT FOLDER floor|whole.

``floor`` is the fewest that change key, certificate and profile in one transaction: Basic instead of a login, no chain, nothing
saved, uploads left behind. ``whole`` leaves as little out as lbsync does, but never looks: not for the active device of a pair,
not for what a killed run left, not at what is there already.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from bench.bigip_rotation import DOWNLOADS, HOST, PASSWORD, PROFILE, USER, Rotation, clocked, given

_BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
_NAME = "by_hand"
_KINDS = {"key": "ssl-key", "chain": "ssl-cert", "cert": "ssl-cert"}


class Caller:
    """One connection; ``headers`` go with every request."""

    def __init__(self, rotation: Rotation) -> None:
        context = ssl.create_default_context(cafile=rotation.ca_file)
        self._connection = http.client.HTTPSConnection(HOST, rotation.port, context=context)
        self.headers = {"Content-Type": "application/json"}

    def __call__(
        self, method: str, path: str, body: Mapping[str, object] | str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """What is answered; anything but success ends the program."""
        text = body if isinstance(body, str) else json.dumps(body)
        self._connection.request(method, f"/mgmt/{path}", text, {**self.headers, **(headers or {})})
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {told.decode()}")
        found: dict[str, Any] = json.loads(told)
        return found

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def upload(call: Caller, rotation: Rotation, parts: Iterable[str]) -> None:
    """One request for each."""
    for part in parts:
        text = rotation.pem(part)
        span = {"Content-Range": f"0-{len(text) - 1}/{len(text)}", "Content-Type": "application/octet-stream"}
        call("POST", f"shared/file-transfer/uploads/{_NAME}.{part}", text, span)


def install(call: Caller, parts: Iterable[str]) -> None:
    """File objects of what was uploaded."""
    for part in parts:
        source = f"file:{DOWNLOADS}/{_NAME}.{part}"
        call(
            "POST",
            f"tm/sys/file/{_KINDS[part]}",
            {"name": f"{_NAME}.{part}", "partition": "Common", "sourcePath": source},
        )


def switch(call: Caller, parts: Iterable[str]) -> None:
    """The profile."""
    entry = {"name": _NAME, "chain": "none"} | {part: f"/Common/{_NAME}.{part}" for part in parts}
    call("PATCH", f"tm/ltm/profile/client-ssl/{PROFILE.replace('/', '~')}", {"certKeyChain": [entry]})


def floor(call: Caller, rotation: Rotation) -> None:
    """Seven requests."""
    parts = ("key", "cert")
    call.headers["Authorization"] = _BASIC
    upload(call, rotation, parts)
    number = str(call("POST", "tm/transaction", {})["transId"])
    call.headers["X-F5-REST-Coordination-Id"] = number
    install(call, parts)
    switch(call, parts)
    del call.headers["X-F5-REST-Coordination-Id"]
    call("PATCH", f"tm/transaction/{number}", {"state": "VALIDATING"})


def whole(call: Caller, rotation: Rotation) -> None:
    """Eleven requests; new objects need no transaction, the profile's change is one by itself."""
    login = {"username": USER, "password": PASSWORD, "loginProviderName": "tmos"}
    token = str(call("POST", "shared/authn/login", login)["token"]["token"])
    call.headers["X-F5-Auth-Token"] = token
    upload(call, rotation, _KINDS)
    install(call, _KINDS)
    uploaded = " ".join(f"{DOWNLOADS}/{_NAME}.{part}" for part in _KINDS)
    call("POST", "tm/util/unix-rm", {"command": "run", "utilCmdArgs": f"-f {uploaded}"})
    switch(call, _KINDS)
    call("POST", "tm/sys/config", {"command": "save"})
    call("DELETE", f"shared/authz/tokens/{token}")


def main() -> None:
    """Rotate, and say what it took."""
    rotation = given()
    rotate = {"floor": floor, "whole": whole}[sys.argv[3]]
    with clocked():
        call = Caller(rotation)
        rotate(call, rotation)
        call.close()


if __name__ == "__main__":
    main()
