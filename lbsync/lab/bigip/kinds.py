"""The one table of collections: what objects are called, which properties they have, what they point to, what they contain.

Rule of this room: data only. Defaults come from ``defaults`` (captured); a property that stands in neither ``defaults`` nor
``optional`` is unknown to the device (assumption ``unknown``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbsync.lab.bigip import defaults, ssl_defaults
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.words import ACTION_WORDS, CONDITION_WORDS

PROFILES = tuple(
    f"ltm/profile/{name}" for name in ("client-ssl", "fastl4", "http", "ntlm", "one-connect", "server-ssl", "tcp")
)
MONITORS = ("ltm/monitor/http", "ltm/monitor/https", "ltm/monitor/icmp", "ltm/monitor/tcp")
_META = frozenset({"kind", "name", "partition", "subPath", "fullPath", "generation", "selfLink"})


@dataclass(frozen=True, slots=True)
class Ref:
    """A property that names objects of other collections; ``link`` says whether REST shows a ``...Reference`` for it."""

    collections: tuple[str, ...]
    link: bool = True


@dataclass(frozen=True, slots=True)
class Sub:
    """A sub-collection. ``partitioned`` items have full paths of their own (pool members), others names only (rules)."""

    name: str
    defaults: Body = field(default_factory=dict[str, object])
    optional: frozenset[str] = frozenset()
    partitioned: bool = False
    refs: Mapping[str, Ref] = field(default_factory=dict[str, Ref])
    subs: tuple[Sub, ...] = ()
    listed: bool = True
    """False where the list is not sent in line with its parent."""
    ordered: bool = False
    """True where the list is kept by full path, whatever order it was sent in."""

    def known(self, name: str) -> bool:
        """True for a property that may be set."""
        return name in self.defaults or name in self.optional or any(sub.name == name for sub in self.subs)


@dataclass(frozen=True, slots=True)
class Kind:
    """One collection. ``base`` is the full path of the parent profile that objects inherit from if they name none."""

    path: str
    title: str
    defaults: Body = field(default_factory=dict[str, object])
    optional: frozenset[str] = frozenset()
    refs: Mapping[str, Ref] = field(default_factory=dict[str, Ref])
    subs: tuple[Sub, ...] = ()
    base: str = ""
    bare: bool = False
    """True where names have no partition (``auth/partition``)."""
    plain: bool = False
    """True where the ``none`` of a property is not shown."""
    fixed: bool = False
    """True where objects are neither made nor deleted."""

    def known(self, name: str) -> bool:
        """True for a property that may be set."""
        return name in self.defaults or name in self.optional or any(sub.name == name for sub in self.subs)


def ignorable(name: str) -> bool:
    """True for what every answer contains and no request needs: it may come back and means nothing."""
    return name in _META or name.endswith("Reference") or name in {"creationTime", "lastModifiedTime", "lastModified"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CERT = Ref(("sys/file/ssl-cert",))
_KEY = Ref(("sys/file/ssl-key",))
_FILE = "sourcePath createTime createdBy updatedBy lastUpdateTime revision mode size checksum systemPath keyType"

_POLICY = Kind(
    "ltm/policy",
    "Policy",
    optional=_words(
        "metadata requires controls strategy description legacy createDraft status references publishedCopy"
    ),
    refs={"strategy": Ref(("ltm/policy-strategy",))},
    subs=(
        Sub(
            "rules",
            {"ordinal": 0},
            _words("description appService"),
            subs=(
                Sub("actions", defaults.ACTION, ACTION_WORDS, refs={"pool": Ref(("ltm/pool",))}),
                Sub("conditions", defaults.CONDITION, CONDITION_WORDS),
            ),
        ),
    ),
    plain=True,
)
_VIRTUAL = Kind(
    "ltm/virtual",
    "Virtual Server",
    defaults.VIRTUAL,
    _words(
        "metadata description destination enabled disabled pool rules persist fallbackPersistence vlans"
        " vlansEnabled vlansDisabled vsIndex lastHopPool rateClass securityLogProfiles"
    ),
    {
        "pool": Ref(("ltm/pool",)),
        "rules": Ref(("ltm/rule",)),
    },
    (
        Sub("policies", optional=_words("context"), partitioned=True, refs={"name": Ref(("ltm/policy",))}),
        Sub("profiles", {"context": "all"}, partitioned=True, refs={"name": Ref(PROFILES)}),
    ),
    plain=True,
)


def _profile(name: str, title: str, values: Body, base: str, **refs: Ref) -> Kind:
    path = f"ltm/profile/{name}"
    optional = _words("inheritCertkeychain passphrase") if name.endswith("-ssl") else frozenset[str]()
    return Kind(path, title, values, optional, {"defaultsFrom": Ref((path,)), **refs}, base=f"/Common/{base}")


def _monitor(name: str, values: Body) -> Kind:
    path = f"ltm/monitor/{name}"
    optional = _words(
        "recv recvDisable username password description defaultsFrom cert key cipherlist compatibility sslProfile"
    )
    refs = {"defaultsFrom": Ref((path,), link=False), "sslProfile": Ref(("ltm/profile/server-ssl",))}
    return Kind(path, f"{name.upper()} Monitor", values, optional, refs, base=f"/Common/{name}", plain=True)


_SSL = {"cert": _CERT, "key": _KEY, "chain": _CERT, "caFile": _CERT}

_TABLE: tuple[Kind, ...] = (
    Kind("auth/partition", "partition", {"defaultRouteDomain": 0}, _words("description"), bare=True),
    Kind("sys/folder", "folder", {"deviceGroup": "none", "hidden": "false", "inheritedDevicegroup": "true",
         "inheritedTrafficGroup": "true", "noRefCheck": "false", "trafficGroup": "/Common/traffic-group-1"},
         _words("description")),
    Kind("sys/file/ssl-key", "Certificate Key File", {"curveName": "none", "keySize": 2048, "securityType": "normal"},
         _words(f"{_FILE} passphrase"), subs=(Sub("cert-order-manager", listed=False),)),
    Kind("sys/file/ssl-cert", "Certificate File", {"certificateKeyCurveName": "none", "certificateKeySize": 2048,
         "isBundle": "false", "version": 3},
         _words(f"{_FILE} email expirationDate expirationString fingerprint issuer serialNumber subject"
                " subjectAlternativeName issuerCert"),
         subs=(Sub("bundle-certificates", listed=False), Sub("cert-validators", listed=False))),
    Kind("ltm/node", "Node", defaults.NODE, _words("metadata address description session state"),
         {"monitor": Ref(MONITORS, link=False)}, plain=True),
    Kind("ltm/pool", "Pool", defaults.POOL, _words("metadata description monitor"), {"monitor": Ref(MONITORS, link=False)},
         (Sub("members", defaults.MEMBER, _words("metadata address description session state"), partitioned=True,
              refs={"monitor": Ref(MONITORS, link=False)}, ordered=True),), plain=True),
    _monitor("http", defaults.MONITOR),
    _monitor("https", defaults.MONITOR),
    _monitor("tcp", {**{name: value for name, value in defaults.MONITOR.items() if name != "send"}}),
    _monitor("icmp", {name: defaults.MONITOR[name] for name in ("adaptive", "destination", "interval", "timeout")}),
    _profile("client-ssl", "ClientSSL Profile", ssl_defaults.CLIENT_SSL, "clientssl", **_SSL),
    _profile("server-ssl", "ServerSSL Profile", ssl_defaults.SERVER_SSL, "serverssl", **_SSL),
    _profile("http", "HTTP Profile", defaults.HTTP, "http"),
    _profile("tcp", "TCP Profile", defaults.TCP, "tcp"),
    _profile("one-connect", "OneConnect Profile", defaults.ONE_CONNECT, "oneconnect"),
    _profile("ntlm", "NTLM Profile", defaults.NTLM, "ntlm"),
    _profile("fastl4", "FastL4 Profile", {"defaultsFrom": "none", "description": "none", "idleTimeout": "300"}, "fastL4"),
    _VIRTUAL,
    Kind("ltm/virtual-address", "Virtual Address", defaults.VIRTUAL_ADDRESS, _words("metadata address description"),
         {"trafficGroup": Ref(("cm/traffic-group",))}, plain=True),
    _POLICY,
    Kind("ltm/policy-strategy", "Policy strategy", {}, _words("strategy description"), subs=(Sub("operands", listed=False),)),
    Kind("ltm/rule", "iRule", {}, _words("metadata apiAnonymous apiRawValues ignoreVerification"), plain=True),
    Kind("ltm/data-group/internal", "value list", {}, _words("metadata records type description"), plain=True),
    Kind("ltm/snatpool", "Snatpool", {}, _words("metadata members description"), plain=True),
    Kind("cm/device-group", "Device Group", defaults.DEVICE_GROUP, _words("description"),
         subs=(Sub("devices", {"setSyncLeader": False}, partitioned=True),)),
    Kind("cm/traffic-group", "Traffic Group", defaults.TRAFFIC_GROUP, _words("description"), fixed=True),
    Kind("sys/provision", "provision", {"cpuRatio": 0, "diskRatio": 0, "level": "none", "memoryRatio": 0}, bare=True,
         fixed=True),
)  # fmt: skip

KINDS: Mapping[str, Kind] = {kind.path: kind for kind in _TABLE}


def missing(given: Iterable[str], place: Kind | Sub) -> list[str]:
    """The properties of a request that the device does not know."""
    return sorted(name for name in given if not ignorable(name) and not place.known(name))
