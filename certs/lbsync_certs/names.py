"""Host names as certificates write them, and whether one covers another.

Rule of this room: text in, text or a yes or no out. Names compare as A-labels in lower case, so ``müller.example`` and
``xn--mller-kva.example`` are one name. Matching follows RFC 9525: a wildcard is a whole leftmost label and stands for
exactly one label.
"""

from __future__ import annotations

import ipaddress

import idna

from lbsync_certs.problem import CertificateProblem, ProblemCode
from lbsync_certs.values import CertificateInfo

_LONGEST = 253
_LEAST_DOTS_OF_A_WILDCARD = 2


def ascii_name(name: str) -> str:
    """A DNS name, its wildcard or an IP address in the form certificates use. Raises CertificateProblem ``bad_name``."""
    bare = name.strip().rstrip(".")
    address = _address(bare)
    if address is not None:
        return address
    star, rest = ("*.", bare[2:]) if bare.startswith("*.") else ("", bare)
    try:
        # Microsoft's names may hold an underscore, which idna alone refuses; a name in ASCII needs no translation.
        plain = rest.lower() if rest.isascii() else idna.encode(rest, uts46=True).decode().lower()
    except idna.IDNAError as error:
        raise CertificateProblem(ProblemCode.BAD_NAME, f"{name!r} is not a host name: {error}") from error
    if not plain or len(plain) > _LONGEST or not all(map(_label, plain.split("."))):
        raise CertificateProblem(ProblemCode.BAD_NAME, f"{name!r} is not a host name.")
    return star + plain


def is_name(name: str) -> bool:
    """Whether it is a host name, a wildcard or an IP address; certificates may carry others, which no client asks for."""
    try:
        ascii_name(name)
    except CertificateProblem:
        return False
    return True


def covers(info: CertificateInfo, name: str) -> bool:
    """True when clients that ask for ``name`` (a host name or an IP address) accept this certificate.

    A wildcard asked for is covered by the same wildcard. Raises CertificateProblem ``bad_name``.
    """
    wanted = ascii_name(name)
    if _address(wanted) is not None:
        return wanted in {_address(each) for each in info.addresses}
    return any(_matches(pattern, wanted) for pattern in info.names)


def missing_names(info: CertificateInfo, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``names`` that the certificate does not cover, as they were given."""
    return tuple(name for name in names if not covers(info, name))


def _matches(pattern: str, wanted: str) -> bool:
    if pattern == wanted:
        return True
    if not pattern.startswith("*.") or pattern.count(".") < _LEAST_DOTS_OF_A_WILDCARD:
        return False
    label, _, parent = wanted.partition(".")
    return label != "*" and parent == pattern[2:]


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


def _label(label: str) -> bool:
    usable = label.replace("-", "").replace("_", "")
    return 0 < len(label) <= 63 and usable.isalnum()  # noqa: PLR2004  RFC 1035
