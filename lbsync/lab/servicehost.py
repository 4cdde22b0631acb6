"""The service host of each simulated server: it carries Outlook Anywhere from AD to IIS, late, as the real one does.

Set-OutlookAnywhere owns the Rpc directory's sslFlags: AD to IIS within 15 minutes, also over what somebody wrote to IIS. The
15 minutes are ``oa_lag_s`` here, and servers differ in when within them they look.

Rule of this room: nothing polls; a change in AD or IIS sets the clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from lbsync.lab.state import FarmState
from lbsync.services import FRONT_END_SITE, NO_SSL, REQUIRE_SSL

RPC = f"{FRONT_END_SITE}/Rpc"


class ServiceHost:
    """The service hosts of a farm's servers."""

    def __init__(self, farm: FarmState, seed: int, later: Callable[[float, Callable[[], None]], None]) -> None:
        """``later`` calls back after some seconds."""
        self._farm = farm
        self._later = later
        self._random = random.Random(seed)
        self._due: set[str] = set()
        self.copies = 0
        farm.on_directory_change = self.notice
        for server in farm.servers.values():
            server.iis.on_ssl_flags = self._watch(server.name)

    def _watch(self, name: str) -> Callable[[str], None]:
        def written(path: str) -> None:
            if path.lower() == RPC.lower():
                self.notice(name)

        return written

    def notice(self, name: str) -> None:
        """Something about a server's Outlook Anywhere changed: it will be looked at within the lag."""
        with self._farm.changes.lock:
            if name in self._due:
                return
            self._due.add(name)
            lag = self._farm.spec.oa_lag_s * self._random.uniform(0.5, 1.0)
        self._later(lag, lambda: self._copy(name))

    def _copy(self, name: str) -> None:
        server = self._farm.servers[name]
        with self._farm.changes.lock:
            self._due.discard(name)
            outlook = self._farm.directory.outlook_anywhere[name]
            location = server.iis.locations.get(RPC.lower())
            if location is None:
                return
            location.ssl_flags = NO_SSL if outlook.ssl_offloading else REQUIRE_SSL
            windows = {"Ntlm", "Negotiate", "NegoEx"} & set(outlook.iis_authentication)
            basic = "Basic" in outlook.iis_authentication
            location.methods = (*(("windows",) if windows else ()), *(("basic",) if basic else ()))
            self.copies += 1
            self._farm.changes.announce()
