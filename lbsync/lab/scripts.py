"""Which script is this, and what does it answer: the digest of its text leads to its model.

Rule of this room: a script is known by the SHA-256 of its exact text or not at all. It reads the files' bytes; it imports
nothing of the package they lie in.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from lbsync.lab.errors import ScriptError
from lbsync.lab.models import certificates, exchange, local, requests, retiring
from lbsync.lab.models.call import Call, Model, as_record
from lbsync.lab.state import FarmState, ServerState

BOOTSTRAP = "bootstrap.ps1"

MODELS: Mapping[str, Model] = {
    "server-facts.ps1": local.server_facts,
    "read-flags.ps1": local.read_flags,
    "set-require-ssl.ps1": local.set_require_ssl,
    "farm-facts.ps1": exchange.farm_facts,
    "set-outlook-anywhere.ps1": exchange.set_outlook_anywhere,
    "export-certificate.ps1": certificates.export_certificate,
    "export-certificate-store.ps1": certificates.export_certificate_store,
    "wrap-key.ps1": certificates.wrap_key,
    "import-certificate.ps1": certificates.import_certificate,
    "enable-certificate.ps1": certificates.enable_certificate,
    "new-certificate-request.ps1": requests.new_certificate_request,
    "certificate-requests.ps1": requests.certificate_requests,
    "complete-certificate-request.ps1": requests.complete_certificate_request,
    "certificate-uses.ps1": retiring.certificate_uses,
    "certificate-holders.ps1": retiring.certificate_holders,
    "remove-certificate.ps1": retiring.remove_certificate,
}

HEAVY = frozenset(
    {"export-certificate.ps1", "export-certificate-store.ps1", "wrap-key.ps1", "import-certificate.ps1",
     "new-certificate-request.ps1"}
)  # fmt: skip
"""Scripts whose model computes for long (keys, PFX): they run in a thread of their own."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs a command. ``delegated``: the logon can go on to a second machine."""

    user: str
    delegated: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What came on stdin: which script, with which parameters; or the error that reading it was."""

    name: str
    params: Mapping[str, object]
    error: ScriptError | None = None

    @property
    def heavy(self) -> bool:
        """True when its model computes for long."""
        return self.name in HEAVY


class Library:
    """The scripts known to a lab: file name to bytes."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        """``texts`` holds ``bootstrap.ps1`` and any of ``MODELS``; line ends do not matter."""
        self._names = {_digest(data): name for name, data in texts.items()}

    @classmethod
    def shipped(cls) -> Library:
        """The scripts in the package ``lbsync``."""
        folder = files("lbsync").joinpath("exchange", "scripts")
        wanted = (BOOTSTRAP, *MODELS)
        return cls({name: folder.joinpath(name).read_bytes() for name in wanted if folder.joinpath(name).is_file()})

    @property
    def names(self) -> frozenset[str]:
        """The file names it knows."""
        return frozenset(self._names.values())

    def is_bootstrap(self, encoded: str) -> bool:
        """True when an ``-EncodedCommand`` argument is the bootstrap."""
        try:
            text = base64.b64decode(encoded, validate=True).decode("utf-16-le")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self._names.get(_digest(text.encode())) == BOOTSTRAP

    def read(self, stdin: bytes) -> Order:
        """What the bootstrap would make of its input."""
        try:
            order = as_record(json.loads(base64.b64decode(b"".join(stdin.split()), validate=True)), "order")
            text, params = order["script"], as_record(order.get("params") or {}, "params")
        except (binascii.Error, ValueError, KeyError, ScriptError):
            unread = ScriptError("nothing was read from stdin", fqid="LbsyncNoInput", category="")
            return Order("", {}, unread)
        name = self._names.get(_digest(str(text).encode()))
        if name is None or name not in MODELS:
            unknown = "the lab has no model of this script: its text is none of the package's files"
            return Order("", {}, ScriptError(unknown, fqid="LabUnknownScript", category="NotImplemented"))
        return Order(name, params)

    @staticmethod
    def run(order: Order, farm: FarmState, server: ServerState, caller: Caller) -> bytes:
        """Run the model; stdout as the bootstrap writes it."""
        answer: dict[str, object]
        try:
            if order.error is not None:
                raise order.error
            server.winrm.scripts[order.name] += 1
            call = Call(farm, server, order.params, caller.user, caller.delegated)
            answer = {"ok": True, "result": MODELS[order.name](call)}
        except ScriptError as error:
            answer = {
                "ok": False,
                "error": {
                    "message": error.message,
                    "fqid": error.fqid,
                    "category": error.category,
                    "target": error.target,
                },
            }
        return base64.b64encode(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode())


def _digest(data: bytes) -> str:
    return sha256(data.replace(b"\r\n", b"\n")).hexdigest()
