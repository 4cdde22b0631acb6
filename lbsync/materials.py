"""Where a certificate's bytes come from: a file, or a server that holds it exportable. Opened at each use, kept nowhere.

Rule of this room: what is handed out is the leaf that was asked for, checked by fingerprint, or an error; keys stay in
memory. It knows neither sessions nor secrets: whoever builds it hands in how to export and where the password is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from lbsync.errors import CertificateError, Denied, LbsyncError
from lbsync_certs import CertificateProblem, Fingerprint, ProblemCode, Thumbprint

if TYPE_CHECKING:
    from lbsync.facts import ServerFacts
    from lbsync_certs import Bundle

LARGEST_BYTES = 1_000_000
"""A PFX is some kilobytes; what is larger was named by mistake."""


class Source(Protocol):
    """One place that may have a certificate with its key."""

    def open(self, leaf: Fingerprint) -> Bundle | None:
        """The bundle, or ``None`` where this place does not have that leaf. Raises CertificateError, TargetError."""
        ...


@dataclass(frozen=True, slots=True)
class FileSource:
    """A PFX or PEM file. ``password`` is asked each time; it returns ``None`` where the file needs none."""

    path: Path
    password: Callable[[], SecretStr | None]

    def read(self) -> Bundle:
        """What the file holds, whichever leaf that is. Raises CertificateError, SecretError."""
        try:
            with self.path.open("rb") as file:
                data = file.read(LARGEST_BYTES)
        except OSError as error:
            raise CertificateError(
                f"the certificate file cannot be read: {error.strerror}",
                where=str(self.path),
                state="nothing was changed",
                remedy="look at the path and at its rights",
                code="unreadable",
            ) from None
        secret = self.password()
        password = secret.get_secret_value() if secret else None
        try:
            return open_bytes(data, password)
        except CertificateProblem as problem:
            raise told(problem, str(self.path)) from None

    def open(self, leaf: Fingerprint) -> Bundle | None:
        """The file's bundle, where it has this leaf."""
        bundle = self.read()
        return bundle if bundle.fingerprint == leaf else None


def open_bytes(data: bytes, password: str | None) -> Bundle:
    """A PFX, or PEM text. Raises CertificateProblem."""
    from lbsync_certs.pem import open_pem
    from lbsync_certs.pfx import open_pfx

    return open_pem(data, password) if b"-----BEGIN " in data else open_pfx(data, password)


Export = Callable[[str, Thumbprint], "Bundle"]
"""Export a certificate, by thumbprint, from a server, by name. Raises CertificateError, TargetError."""


@dataclass(frozen=True, slots=True)
class FarmSource:
    """The servers' own stores. ``look`` answers what they hold, as facts of the moment."""

    look: Callable[[], Sequence[ServerFacts]]
    export: Export

    def open(self, leaf: Fingerprint) -> Bundle | None:
        """Export it from the first server that gives it; one that fails is passed over, a refused login never is."""
        refused: LbsyncError | None = None
        for server in self.look():
            for stored in server.certificates:
                if stored.info.fingerprint != leaf or not stored.has_private_key or stored.exportable is False:
                    continue
                try:
                    return self.export(server.server, stored.info.thumbprint)
                except Denied:
                    raise
                except LbsyncError as error:
                    refused = refused or error
        if refused is not None:
            raise refused
        return None


@dataclass(frozen=True, slots=True)
class Materials:
    """The MaterialSource of a farm: asks each place in order."""

    sources: Sequence[Source]
    names: Mapping[Fingerprint, str] = field(default_factory=dict[Fingerprint, str])
    """What people call a leaf, for messages."""

    def open(self, leaf: Fingerprint) -> Bundle:
        """The bundle with this leaf. Raises CertificateError where nobody has it, TargetError where asking failed."""
        for source in self.sources:
            bundle = source.open(leaf)
            if bundle is None:
                continue
            if bundle.fingerprint != leaf:
                raise CertificateError(
                    f"asked for {self._name(leaf)}, and got {self._name(bundle.fingerprint)}",
                    state="it was not used",
                    remedy="the store changed in the meantime: plan again",
                    code="another-certificate",
                )
            return bundle
        raise CertificateError(
            f"nobody gives the certificate {self._name(leaf)} with its private key",
            state="nothing was changed with it",
            remedy='not exportable on any server, or gone: import it again exportable, or use [certificate] source = "file"',
            code="not-exportable",
        )

    def _name(self, leaf: Fingerprint) -> str:
        return self.names.get(leaf, f"{leaf[:16]}…")


def told(problem: CertificateProblem, where: str) -> CertificateError:
    """What the certificate room says, as an error of this house."""
    remedies = {
        ProblemCode.WRONG_PASSWORD: "correct the password its reference leads to",
        ProblemCode.NO_KEY: "export it with its private key",
    }
    return CertificateError(
        problem.message,
        where=where,
        state="nothing was changed",
        remedy=remedies.get(problem.code, ""),
        code=problem.code.value,
    )
