"""Where a path ends up, asked of a real NGINX in http with every offloadable service in clear."""

from __future__ import annotations

from typing import ClassVar

from tests.balancers.routing import Routing
from tests.balancers.streaming import Streaming


class TestRouting(Routing):
    """What holds of every balancer that routes by path; the fixture ``offloaded`` is conftest's."""

    refuses: ClassVar[frozenset[str]] = frozenset({"/../ews/mrsproxy.svc"})


class TestStreaming(Streaming):
    """The same of bodies and answers under way; the fixture ``by_hand`` is conftest's."""
