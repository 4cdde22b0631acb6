"""The other services that are given the certificate along with IIS: which they may be, what they have now, and the way back.

Rule of this room: pure. It says only of those somebody named; who has a certificate keeps it where Exchange lets several have
one (SMTP), and what cannot be taken back is said before anybody agrees.

Sources: Enable-ExchangeCertificate ("once you enable a certificate for a service, you can't disable it"; no wildcard for IMAP
and POP); CSS-Exchange, InternalTransportCertificateCheck (the certificate that servers use among themselves is better left).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lbsync.changes import AlsoEnable
from lbsync.errors import ConfigError, UnsafeChange
from lbsync.facts import ServerFacts
from lbsync.services import MailService
from lbsync_certs import CertificateInfo, Thumbprint

_KNOWN = "smtp, imap and pop"
_COMMON_NAME = re.compile(r"(?:^|,)\s*CN=(?P<name>[^,]*)", re.IGNORECASE)


def named(text: str | None) -> tuple[MailService, ...]:
    """``smtp,imap`` as services, each once, in one order always; ``None`` is none. Raises ConfigError."""
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if word.upper() not in MailService.__members__]
    if wrong:
        told = ", ".join(repr(word) for word in dict.fromkeys(wrong))
        raise ConfigError(
            f"--also takes {_KNOWN}, separated by commas, and was given {told}",
            where="--also",
            state="nothing was changed",
            remedy="name those that shall have the certificate, say --also smtp,imap; IIS has it always, and whatever else "
            "Exchange has certificates for is never touched",
        )
    chosen = {word.upper() for word in words}
    return tuple(service for service in MailService if service.value in chosen)


def refuse_unable(servers: Iterable[ServerFacts], also: Sequence[MailService], leaf: CertificateInfo | None) -> None:
    """Nothing where these services can be given ``leaf``. Raises UnsafeChange with every reason where they cannot."""
    if leaf is None or not also:
        return
    silent = [s.server for s in servers if all(stored.services is None for stored in s.certificates)]
    by_name = [service for service in also if service is not MailService.SMTP]
    reasons: list[str] = []
    if silent:
        reasons.append(
            f"{', '.join(silent)}: which services have which certificate is not known, so nothing could be taken back. Let "
            'Exchange\'s cmdlets be used: farm.exchange = "explicit" or "delegated", and an account whose roles offer '
            "Get-ExchangeCertificate."
        )
    if by_name and _is_wildcard(leaf):
        reasons.append(
            f"Exchange enables no wildcard certificate for {' and '.join(by_name)}, and this one is of {leaf.subject}. Leave "
            "them out, and have them choose it by the name that clients use: Set-ImapSettings, Set-PopSettings "
            "-X509CertificateName, then a restart of their services."
        )
    if reasons:
        raise UnsafeChange(
            f"--also {','.join(also).lower()} is refused.",
            reasons=tuple(reasons),
            state="nothing was changed",
            remedy="do what each reason says, or rotate without --also",
        )


def lacking(server: ServerFacts, also: Iterable[MailService], after: Thumbprint) -> tuple[MailService, ...]:
    """Those of ``also`` that do not have ``after`` on this server."""
    return tuple(service for service in also if after not in _holders(server, service))


def also_enable(server: ServerFacts, also: Iterable[MailService], after: Thumbprint) -> tuple[AlsoEnable, ...]:
    """What each service has now, and what the way back gives it.

    A service that has ``after`` already is enabled again all the same: IMAP and POP find their certificate by name, may show
    one that they do not serve yet, and are restarted with this.
    """
    return tuple(
        _smtp(server, after) if service is MailService.SMTP else _by_name(server, service, after) for service in also
    )


def _smtp(server: ServerFacts, after: Thumbprint) -> AlsoEnable:
    """SMTP keeps every certificate; one of them is also what servers use among themselves.

    Enabling with -Force makes the new one that as well, so the one of before is enabled again right after, unless it is the
    very one that is renewed.
    """
    held = _holders(server, MailService.SMTP)
    internal = next((stored.info.thumbprint for stored in server.certificates if stored.internal_transport), None)
    renewed = _bound(server)
    if internal is None:
        only = held[0] if len(held) == 1 and held[0] != after else None
        return AlsoEnable(service=MailService.SMTP, before=held, back=only)
    if internal == after:
        return AlsoEnable(service=MailService.SMTP, before=held)
    return AlsoEnable(service=MailService.SMTP, before=held, back=internal, stays=internal != renewed)


def _by_name(server: ServerFacts, service: MailService, after: Thumbprint) -> AlsoEnable:
    """IMAP and POP have one each; where several are shown (they share its name), IIS's is the likeliest."""
    held = _holders(server, service)
    others = [one for one in held if one != after]
    bound = _bound(server)
    back = bound if bound in others else next(iter(others), None)
    return AlsoEnable(service=service, before=held, back=back)


def _holders(server: ServerFacts, service: MailService) -> tuple[Thumbprint, ...]:
    return tuple(s.info.thumbprint for s in server.certificates if service.value in (s.services or ()))


def _bound(server: ServerFacts) -> Thumbprint | None:
    leaf = server.front_end_leaf
    return leaf.info.thumbprint if leaf else None


def _is_wildcard(leaf: CertificateInfo) -> bool:
    """As Exchange judges: by the subject; where that has no name, by the first alternative name [u]."""
    common = _COMMON_NAME.search(leaf.subject)
    name = common["name"].strip() if common else next(iter(leaf.names), "")
    return name.startswith("*.")
