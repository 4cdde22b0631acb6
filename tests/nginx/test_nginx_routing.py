"""Where a path ends up, asked of a real NGINX in http with every offloadable service in clear."""

from __future__ import annotations

from typing import ClassVar

from tests.balancers.routing import Routing


class TestRouting(Routing):
    """What holds of every balancer that routes by path; the fixture ``offloaded`` is conftest's."""

    refuses: ClassVar[frozenset[str]] = frozenset({"/../ews/mrsproxy.svc"})
