"""The table ``[service]``: what ``lbsync serve`` does, where it listens, and who may come in.

Rule of this file: shapes, defaults and single-value rules only; whether the service may listen like this, it judges itself.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from lbsync.config.notices import NoticeSection
from lbsync.config.reference import SecretRef
from lbsync.config.shapes import Section, Text

RoleName = Literal["viewer", "operator", "approver"]

_HIGHEST_PORT = 65535


def _endpoint(text: str) -> str:
    """``host:port``; an IPv6 address in brackets."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", text)
    if found is None or int(found.group(2)) > _HIGHEST_PORT:
        raise PydanticCustomError(
            "endpoint",
            "must be an address and a port",
            {"remedy": 'write both, as in "127.0.0.1:8440" or "[::1]:8440"'},
        )
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class OidcSection(Section):
    """An identity provider that says who somebody is: OpenID Connect."""

    issuer: Text
    """Its address, below which /.well-known/openid-configuration lies."""
    client_id: Text
    """How it knows this service."""
    client_secret: SecretRef | None = None
    """A reference to the secret shared with it; default: a public client."""
    public_url: Text
    """This service as browsers reach it, as https://lbsync.contoso.com."""
    scopes: tuple[Text, ...] = ("openid", "profile")
    """What is asked for."""
    name_claim: Text = "preferred_username"
    """The claim that names a person."""
    role_claim: Text = "groups"
    """The claim that is looked up in roles."""
    roles: dict[str, RoleName]
    """What that claim may say, and the role for each: viewer, operator or approver. Who has none is not let in."""
    ca_file: Text | None = None
    """PEM file of its CA; default: the CAs of this system."""


class ServiceSection(Section):
    """The service. Of several configurations only the first one's table counts, or that of --service. Times are seconds."""

    model_config = ConfigDict(allow_inf_nan=False)

    listen: Endpoint = "127.0.0.1:8440"
    """Address and port."""
    hosts: tuple[Text, ...] = ()
    """Names under which browsers reach it, beside the address listened on; without a port."""
    certificate_file: Text | None = None
    """PEM file of its own certificate and chain; needed where it listens for other hosts, unless a proxy stands in front."""
    key_file: Text | None = None
    """PEM file of the key."""
    users_file: Text | None = None
    """The file that lbsync serve-user writes."""
    trusted_proxies: tuple[Text, ...] = ()
    """Addresses or networks of proxies in front of it."""
    user_header: Text | None = None
    """The header in which these proxies name the person; default: people log in here."""
    role_header: Text | None = None
    """The header in which they name the role."""
    proxy_roles: dict[str, RoleName] = Field(default_factory=dict[str, RoleName])
    """What they call a role, where it is not viewer, operator or approver."""
    proxy_default_role: RoleName | None = None
    """The role of whom they name without one; default: not let in."""
    oidc: OidcSection | None = None
    """An identity provider."""
    idle_s: Annotated[float, Field(ge=60, le=30 * 86400)] = 7200
    """A session that asks nothing for so long is over."""
    lasting_s: Annotated[float, Field(ge=60, le=30 * 86400)] = 43200
    """Every session is over after so long."""
    approve: bool = True
    """Whether a rotation waits for an approver; false: it rotates by itself where [watch] rotate = true."""
    four_eyes: bool = False
    """Whether somebody else must approve than who asked."""
    proposal_s: Annotated[float, Field(ge=300, le=30 * 86400)] = 86400
    """A proposal that nobody approved is over after so long."""
    resume: bool = True
    """Whether a run that the service began, and that stands half-way without a process, is carried on by itself."""
    look_every_s: Annotated[float, Field(ge=10, le=7 * 86400)] | None = None
    """How often each farm is looked at; default: its own [watch] every_s."""
    drift_every_s: Annotated[float, Field(ge=60, le=30 * 86400)] | None = 21600
    """How often its drift is looked at; default: every six hours."""
    looks_at_once: Annotated[int, Field(ge=1, le=64)] = 4
    """How many farms are looked at at the same time."""
    look_within_s: Annotated[float, Field(ge=10, le=86400)] = 600
    """A look, a plan or whatever else only reads is ended after so long; a change never is."""
    stop_within_s: Annotated[float, Field(ge=1, le=3600)] = 90
    """When it ends: how long it waits for what is under way to stop between two steps."""
    notices: tuple[NoticeSection, ...] = ()
    """Who is told what happens."""
    expiry_days: tuple[Annotated[int, Field(ge=0, le=3650)], ...] = (30, 14, 7, 1)
    """So many days before a certificate ends it is told, once each; and once when it has ended."""
    notice_templates: Text | None = None
    """A folder whose templates come before those of lbsync."""
    otel: bool = False
    """Whether traces go to where OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra otel."""
