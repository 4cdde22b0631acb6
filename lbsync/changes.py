"""Changes: what the plan asks a target to translate into steps.

Rule of this room: a change says what shall be true and what was true before; how, is the target's business.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lbsync.facts import OutlookAnywhereFacts
from lbsync.model import Mode, Value
from lbsync.services import Service
from lbsync_certs import Fingerprint, Thumbprint


class InstallCertificate(Value):
    """Put the certificate's file or object on a balancer, under a name made of its fingerprint; nothing serves it yet."""

    kind: Literal["install-certificate"] = "install-certificate"
    leaf: Fingerprint


class Publish(Value):
    """Bring a balancer's listeners and pools to what its settings call for, serving ``leaf``, each service in its mode.

    ``modes`` holds the modes to start with: those in force where published already, else bridge for every service.
    """

    kind: Literal["publish"] = "publish"
    leaf: Fingerprint
    modes: dict[Service, Mode]


class SwitchCertificate(Value):
    """Serve another leaf, live; ``after`` was installed before."""

    kind: Literal["switch-certificate"] = "switch-certificate"
    before: Fingerprint
    after: Fingerprint


class SwitchMode(Value):
    """Route services to their other pool.

    A device that switches live is given one service at a time; one that must reload is given together what may go together.
    """

    kind: Literal["switch-mode"] = "switch-mode"
    services: tuple[Service, ...]
    before: Mode
    after: Mode


class Drain(Value):
    """No new requests to a server; connections end by themselves within ``timeout_s``, then stop the run or are cut."""

    kind: Literal["drain"] = "drain"
    server: str
    timeout_s: float
    on_timeout: Literal["stop", "cut"]


class Undrain(Value):
    """Let requests to a server again; the mirror image of ``Drain`` (its undo drains)."""

    kind: Literal["undrain"] = "undrain"
    server: str
    timeout_s: float
    on_timeout: Literal["stop", "cut"]


class Mark(Value):
    """Leave (``present``) or remove the run marker on a balancer."""

    kind: Literal["mark"] = "mark"
    marker: str
    present: bool


class FlagChange(Value):
    """Require SSL of one virtual directory: ``None`` clears the own value so that it inherits again."""

    service: Service
    before: str | None
    after: str | None


class RequireSsl(Value):
    """sslFlags of some vdirs of one server, the recycle of just their pools, and healthy again: one step."""

    kind: Literal["require-ssl"] = "require-ssl"
    changes: tuple[FlagChange, ...]


class SetOutlookAnywhere(Value):
    """Outlook Anywhere in AD for some servers at once, and one shared wait until every IIS shows it."""

    kind: Literal["set-outlook-anywhere"] = "set-outlook-anywhere"
    before: tuple[OutlookAnywhereFacts, ...]
    after: tuple[OutlookAnywhereFacts, ...]
    wait_s: float = 900.0


class ImportCertificate(Value):
    """Import a certificate with its key, exportable, into a server's store."""

    kind: Literal["import-certificate"] = "import-certificate"
    leaf: Fingerprint
    thumbprint: Thumbprint


class EnableCertificate(Value):
    """Bind a stored certificate to IIS, with the Require SSL state kept; the undo binds the one before."""

    kind: Literal["enable-certificate"] = "enable-certificate"
    before: Thumbprint | None
    after: Thumbprint


Change = Annotated[
    InstallCertificate
    | Publish
    | SwitchCertificate
    | SwitchMode
    | Drain
    | Undrain
    | Mark
    | RequireSsl
    | SetOutlookAnywhere
    | ImportCertificate
    | EnableCertificate,
    Field(discriminator="kind"),
]
