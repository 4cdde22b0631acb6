"""What an NGINX can do by its settings: asked at plan time, before anything is opened.

Rule of this room: pure.
"""

from __future__ import annotations

from lbsync.model import Mode
from lbsync.target import Capabilities
from lbsync_nginx.settings import NginxSettings

_WAYS_OUT = (
    'Either set proxy = "stream" in balancers.settings: connections are passed on whole, in one mode for all services. Or, where '
    'clients log on by Basic or OAuth only, declare it with ntlm = "unused". Or use NGINX Plus with ntlm = "plus".'
)


_NO_RESUMPTION = "set resumption = false in balancers.settings, then publish the listener again"


def capabilities(settings: NginxSettings) -> Capabilities:
    """By the way of proxying: http sees paths and breaks NTLM, stream carries NTLM and sees no path."""
    if settings.proxy == "stream":
        return Capabilities(
            per_path_modes=False,
            filters_paths=False,
            mrsproxy_host=settings.mrsproxy_host,
            live_mode_switch=False,
            live_certificate_switch=False,
            switches_sides=True,
            resumes_sessions=settings.resumption,
            resumption_remedy=_NO_RESUMPTION,
        )
    safe = frozenset(Mode) if settings.ntlm == "plus" else frozenset[Mode]()
    return Capabilities(
        ntlm_safe=safe,
        ntlm_unused=settings.ntlm == "unused",
        ntlm_remedy=_WAYS_OUT,
        live_mode_switch=False,
        live_certificate_switch=settings.certificate_form == "variable",
        switches_sides=True,
        resumes_sessions=settings.resumption,
        resumption_remedy=_NO_RESUMPTION,
    )
