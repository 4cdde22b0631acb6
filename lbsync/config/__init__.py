"""The configuration: TOML text to values, and every fault with its line.

Rule of this room: pure and deterministic; it opens no file and asks no server. Secrets are references here, resolved in
``lbsync.secrets``; it must never know a value.
"""

from __future__ import annotations

from lbsync.config.load import Loaded, load, load_service
from lbsync.config.problems import BrokenConfig
from lbsync.config.schema import schema
from lbsync.config.sections import (
    BalancerSection,
    CertificateSection,
    Config,
    ServerSection,
    WatchSection,
    WinrmSection,
)
from lbsync.config.service import OidcSection, ServiceSection
from lbsync.config.wish import Leaf, desired, modes, tls_names, windows

__all__ = [
    "BalancerSection",
    "BrokenConfig",
    "CertificateSection",
    "Config",
    "Leaf",
    "Loaded",
    "OidcSection",
    "ServerSection",
    "ServiceSection",
    "WatchSection",
    "WinrmSection",
    "desired",
    "load",
    "load_service",
    "modes",
    "schema",
    "tls_names",
    "windows",
]
