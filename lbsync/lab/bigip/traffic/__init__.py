"""The data plane of a simulated BIG-IP: real sockets, real TLS and real HTTP between clients and servers.

Rule of this room: it reads a ``Config`` and nothing else of the control plane. What it does that neither captured data nor
F5's documentation states stands in ``assumed``.
"""

from lbsync.lab.bigip.traffic.assumed import TRAFFIC
from lbsync.lab.bigip.traffic.engine import Traffic

__all__ = ["TRAFFIC", "Traffic"]
