"""Facts of a server whose IIS is recorded: the real readers over a captured applicationHost.config.

Rule of this room: what the file says comes from it; what it cannot say (certificates, pool states) is as on a healthy farm.
"""

from __future__ import annotations

from lbsync.exchange.iis import read_config
from lbsync.exchange.vdirs import front_end
from lbsync.facts import ServerFacts
from lbsync.testing.farm_facts import server_facts


def recorded_server(name: str, config: bytes, *, version: str = "15.2.986.5") -> ServerFacts:
    """A healthy server called ``name`` of ``version`` whose front end is that of ``config``.

    Raises Rejected where it is no configuration.
    """
    vdirs, problems = front_end(read_config(config), ())
    return server_facts(name).model_copy(
        update={"version": version, "build": version, "vdirs": vdirs, "problems": problems}
    )
