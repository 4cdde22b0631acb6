"""Changes: what the plan asks a target to translate into steps.

Rule of this room: a change says what shall be true and what was true before; how, is the target's business.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lbsync.facts import OutlookAnywhereFacts
from lbsync.model import Mode, Value
from lbsync.services import MailService, Service
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


class SwitchSides(Value):
    """Serve another leaf and send new connections to other servers, in one moment.

    The two-sided switch of a rotation under Extended Protection: a client's channel binding is the leaf that its connection was
    opened with, so no connection may ever meet a server that holds another. Before, the servers ``fresh`` are drained and hold
    ``after``, and ``old`` serve alone, holding ``before``. Afterwards new connections meet ``after`` and go to ``fresh`` only;
    those opened under ``before`` stay with ``old`` until they end by themselves within ``timeout_s``, then stop the run or are
    cut. It leaves ``old`` drained, as ``Drain`` does, and takes ``fresh`` back, as ``Undrain`` does.
    """

    kind: Literal["switch-sides"] = "switch-sides"
    before: Fingerprint
    after: Fingerprint
    old: tuple[str, ...] = Field(min_length=1)
    fresh: tuple[str, ...] = Field(min_length=1)
    timeout_s: float
    on_timeout: Literal["stop", "cut"]


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


class RemoveCertificate(Value):
    """Take a certificate with its key out of a server's store, for good: there is no way back.

    ``released`` are the Exchange services that name it still and that another certificate of that server has taken over:
    Exchange takes no service off a certificate ("you can't remove the assignment").
    """

    kind: Literal["remove-certificate"] = "remove-certificate"
    leaf: Fingerprint
    thumbprint: Thumbprint
    released: tuple[str, ...] = ()


class UninstallCertificate(Value):
    """Take a certificate's file or objects, the key among them, off a balancer that does not serve it; there is no way back."""

    kind: Literal["uninstall-certificate"] = "uninstall-certificate"
    leaf: Fingerprint


class AlsoEnable(Value):
    """Enable the certificate for another service as well. ``before`` has every certificate that the service has now.

    ``back`` is the one that the undo enables it for again; ``None`` where there is none, or where nobody can tell. With
    ``stays`` (SMTP only) ``back`` goes on to be the certificate that servers use among themselves.
    """

    service: MailService
    before: tuple[Thumbprint, ...] = ()
    back: Thumbprint | None = None
    stays: bool = False


class EnableCertificate(Value):
    """Bind a stored certificate to IIS, with the Require SSL state kept; the undo binds the one before.

    ``also`` are the other services that are given it with the same step.
    """

    kind: Literal["enable-certificate"] = "enable-certificate"
    before: Thumbprint | None
    after: Thumbprint
    also: tuple[AlsoEnable, ...] = ()


Change = Annotated[
    InstallCertificate
    | Publish
    | SwitchCertificate
    | SwitchSides
    | SwitchMode
    | Drain
    | Undrain
    | Mark
    | RequireSsl
    | SetOutlookAnywhere
    | ImportCertificate
    | EnableCertificate
    | RemoveCertificate
    | UninstallCertificate,
    Field(discriminator="kind"),
]
