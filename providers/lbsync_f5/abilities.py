"""What a BIG-IP can do by its settings: asked at plan time, before anything is opened.

Rule of this room: pure.
"""

from __future__ import annotations

from lbsync.model import Mode
from lbsync.target import Capabilities
from lbsync_f5.settings import F5Settings

_REASON = (
    "With NTLM a client keeps its connection to a server, and its later requests travel over it whatever their path"
)
_REMEDY = 'declare ntlm = "unused" in balancers.settings, where nobody logs on by NTLM or Negotiate'
_WAYS_OUT = (
    'Leave ntlm = "used" (the default) in balancers.settings: each client keeps a connection of its own, in one mode for all '
    "services, with a virtual server of its own for MRSProxy where anything is offloaded."
)

_NO_RESUMPTION = "Set resumption = false in balancers.settings"


def capabilities(settings: F5Settings) -> Capabilities:
    """With NTLM one mode for a virtual server; without it, each request goes its own way."""
    high = len(settings.hosts) > 1
    if settings.ntlm == "unused":
        return Capabilities(
            ntlm_safe=frozenset[Mode](),
            ntlm_unused=True,
            ntlm_remedy=_WAYS_OUT,
            answers_unknown=False,
            # Requests of one client are balanced one by one: those of an open connection would find nobody after a switch.
            switches_sides=False,
            resumes_sessions=settings.resumption,
            resumption_remedy=_NO_RESUMPTION,
            high_availability=high,
        )
    return Capabilities(
        per_path_modes=False,
        one_mode_reason=_REASON,
        one_mode_remedy=_REMEDY,
        answers_unknown=False,
        mrsproxy_host=settings.mrsproxy_host,
        mrsproxy_address=settings.mrsproxy_address,
        mrsproxy_port=settings.mrsproxy_port if settings.mrsproxy_host is not None else None,
        mrsproxy_ends_here=True,
        switches_sides=True,
        resumes_sessions=settings.resumption,
        resumption_remedy=_NO_RESUMPTION,
        high_availability=high,
    )
