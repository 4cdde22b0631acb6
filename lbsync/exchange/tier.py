"""The Exchange tier: with which credentials the scripts open their inner session.

Rule of this room: a printable value; the password is asked for when a call is made and stands in its parameters only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from lbsync.errors import ConfigError

TierName = Literal["explicit", "delegated", "none"]


def _no_password() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTier:
    """How Exchange cmdlets are reached, since a network logon has no second hop.

    ``explicit`` (user and password go along, sealed), ``delegated`` (kerberos or credssp brought the logon along), ``none``
    (no Exchange cmdlets: AD stays unread, certificates come from the machine's store).
    """

    mode: TierName = "explicit"
    user: str = ""
    password: Callable[[], str] = field(default=_no_password, repr=False)

    @property
    def available(self) -> bool:
        """True when Exchange cmdlets can be run."""
        return self.mode != "none"

    def params(self, fqdn: str) -> dict[str, str | None]:
        """The ``exchange`` parameter for the inner session to the server ``fqdn``. Raises ConfigError without this tier."""
        match self.mode:
            case "explicit":
                return {"server": fqdn, "user": self.user, "password": self.password()}
            case "delegated":
                return {"server": fqdn, "user": None, "password": None}
            case "none":
                raise ConfigError(
                    "this needs Exchange cmdlets, and the Exchange tier is not configured",
                    where=fqdn,
                    remedy='set farm.exchange = "explicit" or "delegated"',
                )


NO_EXCHANGE = ExchangeTier(mode="none")
