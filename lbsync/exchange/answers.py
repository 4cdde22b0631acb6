"""The shapes of the scripts' answers, checked before anything is read from them.

Rule of this room: one frozen shape per script, as ``scripts/README.md`` writes it; fields it does not know are ignored, so
that a newer script may say more. A wrong shape is Rejected with what was expected, never a KeyError.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from lbsync.errors import Rejected


class Shape(BaseModel):
    """Part of an answer: types are held to strictly, unknown fields are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("base64 text was expected")  # noqa: TRY004  pydantic turns only ValueError into its own
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("base64 text was expected") from error


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Bytes = Annotated[bytes, BeforeValidator(_bytes)]
"""Binary, base64 in the answer."""

T = TypeVar("T")
List = Annotated[tuple[T, ...], BeforeValidator(_tuple)]
"""A JSON array, as a tuple."""


class Effective(Shape):
    """What IIS itself answers for a location."""

    location: str
    ssl_flags: str
    token_checking: str


class Redirect(Shape):
    """An enabled httpRedirect."""

    location: str
    destination: str


class Rewrite(Shape):
    """One URL Rewrite rule."""

    location: str
    name: str


class Pool(Shape):
    """An app pool: Started, Stopped, Starting, Stopping, Unknown."""

    name: str
    state: str


class Component(Shape):
    """A component state of Exchange: Active, Inactive."""

    component: str
    state: str


class SiteBinding(Shape):
    """One binding as Get-WebBinding shows it."""

    site: str
    protocol: str
    information: str
    thumbprint: str | None = None


class LocalCertificate(Shape):
    r"""A certificate of LocalMachine\\My with a private key; ``raw`` is its DER."""

    thumbprint: str
    raw: Bytes
    has_private_key: bool
    exportable: bool | None = None


class ServerAnswer(Shape):
    """server-facts."""

    server: str
    fqdn: str
    setup_version: str
    exsetup_version: str
    setup_running: bool
    setup_incomplete: bool
    administrator: bool
    suppress_extended_protection: int
    config: str
    effective: List[Effective]
    redirects: List[Redirect] = ()
    rewrites: List[Rewrite] = ()
    bindings: List[SiteBinding] | None = None
    pools: List[Pool] = ()
    components: List[Component] = ()
    certificates: List[LocalCertificate] = ()


class VdirFlags(Shape):
    """sslFlags of one location; ``own`` is ``None`` when inherited."""

    location: str
    own: str | None
    effective: str


class FlagsAnswer(Shape):
    """read-flags, and set-require-ssl's read-back."""

    vdirs: List[VdirFlags]
    pools: List[Pool]
    recycled: List[str] = ()


class OutlookAnywhereShape(Shape):
    """Get-OutlookAnywhere of one server."""

    server: str
    ssl_offloading: bool
    internal_hostname: str | None = None
    external_hostname: str | None = None
    internal_clients_require_ssl: bool
    external_clients_require_ssl: bool
    internal_authentication: str | None = None
    external_authentication: str | None = None
    iis_authentication: List[str] = ()


class OutlookAnywhereAnswer(Shape):
    """set-outlook-anywhere."""

    outlook_anywhere: List[OutlookAnywhereShape]


class MrsProxy(Shape):
    """MRSProxyEnabled of one server's EWS directory."""

    server: str
    enabled: bool


class OAuth(Shape):
    """The three signs of OAuth in use."""

    oauth2_client_profile_enabled: bool = False
    evosts_is_default: bool = False
    hybrid_configuration: bool = False


class ExchangeCertificateShape(Shape):
    """What Get-ExchangeCertificate adds to a stored certificate; ``None`` where Exchange's types did not load."""

    server: str
    thumbprint: str
    services: List[str] | None = None
    status: str | None = None
    exportable: bool | None = None
    internal_transport: bool | None = None


class FarmAnswer(Shape):
    """farm-facts."""

    outlook_anywhere: List[OutlookAnywhereShape]
    mrsproxy: List[MrsProxy] = ()
    oauth: OAuth = OAuth()
    certificates: List[ExchangeCertificateShape] = ()
    missing_cmdlets: List[str] = ()


class ExportAnswer(Shape):
    """export-certificate and export-certificate-store: the PFX, and its password wrapped with RSA-OAEP."""

    pfx: Bytes
    key: Bytes


class WrapKeyAnswer(Shape):
    """wrap-key: the public half of a key pair made on the server."""

    modulus: Bytes
    exponent: Bytes


class ImportAnswer(Shape):
    """import-certificate."""

    thumbprint: str
    already: bool


class EnableAnswer(Shape):
    """enable-certificate; ``restarted`` are the Windows services of IMAP and POP that ran."""

    bindings: List[SiteBinding]
    restarted: List[str] = ()


class RequestAnswer(Shape):
    """new-certificate-request: PKCS#10 as PEM."""

    request: str
    thumbprint: str | None = None
    already: bool


class PendingRequest(Shape):
    """A request that waits for its certificate; ``raw`` is the DER of the stand-in, whose key is the request's."""

    thumbprint: str
    raw: Bytes
    friendly_name: str = ""


class RequestsAnswer(Shape):
    """certificate-requests: ``present`` when the store has the certificate asked for with its key."""

    present: bool
    requests: List[PendingRequest] = ()


class CompleteAnswer(Shape):
    """complete-certificate-request."""

    thumbprint: str
    outcome: Literal["completed", "already", "no_request", "no_key"]


ShapeT = TypeVar("ShapeT", bound=Shape)


def shaped(shape: type[ShapeT], answer: Mapping[str, object], script: str) -> ShapeT:
    """The answer of ``script`` in its shape. Raises Rejected ``bad_answer`` naming the first three things that differ."""
    try:
        return shape.model_validate(answer)
    except ValidationError as error:
        # The input is left out on purpose: an answer may hold a PFX.
        wrong = [
            f"{'.'.join(str(part) for part in item['loc']) or 'the answer'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""  # noqa: PLR2004  as the docstring says
        raise Rejected(
            f"{script} answered in another shape than expected: {'; '.join(wrong[:3])}{more}.",
            code="bad_answer",
            state="nothing is known of that server from this answer",
            remedy="report it with the Exchange version; the expected shape stands in lbsync/exchange/scripts/README.md",
        ) from None
