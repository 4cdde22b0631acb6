"""What a plan must tell of an NGINX: what a reload costs its clients, and what it cannot do.

Rule of this room: pure; sentences for an administrator, each true of the version and settings at hand. Figures are those of
trials with 20 keep-alive clients over 8 reloads.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.version import Version


def notes(settings: NginxSettings, version: Version) -> Iterator[str]:
    """Everything worth telling before a change."""
    if settings.proxy == "stream":
        yield (
            "Each step on NGINX is a reload. Open connections stay with the old workers until they end, and clients keep "
            "theirs: a drained server may not be rid of them before the drain time-out. With "
            'limits.on_drain_timeout = "cut" those are then ended, which clients answer by connecting anew; with "stop" the '
            "run ends there and goes back."
        )
    elif version.keeps_idle_clients:
        yield "Each step on NGINX is a reload; idle clients have 10 s to send their next request, and none is lost."
    else:
        form = (
            ""
            if settings.certificate_form == "variable"
            else (' certificate_form = "variable" changes certificates without a reload.')
        )
        yield (
            f"Each step on NGINX is a reload, and NGINX {version.text} then closes idle keep-alive connections: a client that "
            "sends its next request in that moment sees it unanswered and asks again (browsers and Outlook do so by "
            f"themselves). From 1.27.4 on none is lost.{form}"
        )
    if settings.ntlm == "plus":
        yield "NGINX Plus and its ntlm directive were never tried with lbsync; this rests on NGINX's documentation."
