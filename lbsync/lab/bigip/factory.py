"""The configuration a device comes with: partitions, base profiles and monitors, strategies, the default certificate.

Rule of this room: names as captured from a 14.1.2.1; the default pair is made anew, as a device makes its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lbsync.lab.bigip import fileobjects
from lbsync.lab.bigip.certificates import stamp
from lbsync.lab.bigip.names import Json, compose
from lbsync.lab.bigip.options import knows_tls13
from lbsync.lab.bigip.ssl_defaults import CLIENT_SSL
from lbsync.lab.bigip.store import Configuration, Draft
from lbsync.testing.ca import TestCA

_PROVISION = ("afm", "am", "apm", "asm", "avr", "dos", "fps", "gtm", "ilx", "lc", "ltm", "pem", "sslo", "swg", "urldb")
_SSL = ("clientssl", "serverssl")
_BEFORE_TLS13: Json = {"tmOptions": ["dont-insert-empty-fragments"]}
"""What the two base profiles show before 14.0, which knows no ``no-tlsv1.3``."""
_REDIRECT = 'when HTTP_REQUEST {\n   HTTP::redirect https://[getfield [HTTP::host] ":" 1][HTTP::uri]\n}'
_BASE: tuple[tuple[str, str, Json], ...] = (
    ("ltm/profile/client-ssl", "clientssl", {"defaultsFrom": "none", "certKeyChain": CLIENT_SSL["certKeyChain"]}),
    ("ltm/profile/client-ssl", "clientssl-secure", {"ciphers": "ecdhe:rsa:!sslv3:!rc4:!exp:!des", "renegotiation": "disabled",
                                                     "tmOptions": ["no-ssl"]}),
    ("ltm/profile/server-ssl", "serverssl", {"defaultsFrom": "none"}),
    ("ltm/profile/server-ssl", "apm-default-serverssl", {"caFile": "/Common/ca-bundle.crt", "peerCertMode": "require",
                                                          "secureRenegotiation": "request"}),
    ("ltm/profile/http", "http", {"defaultsFrom": "none"}),
    ("ltm/profile/tcp", "tcp", {"defaultsFrom": "none"}),
    ("ltm/profile/tcp", "tcp-lan-optimized", {}),
    ("ltm/profile/tcp", "tcp-wan-optimized", {}),
    ("ltm/profile/one-connect", "oneconnect", {"defaultsFrom": "none"}),
    ("ltm/profile/ntlm", "ntlm", {"defaultsFrom": "none"}),
    ("ltm/profile/fastl4", "fastL4", {"defaultsFrom": "none"}),
    ("ltm/monitor/http", "http", {"defaultsFrom": "none"}),
    ("ltm/monitor/http", "http_head_f5", {"recv": "Server\\:", "send": "HEAD / HTTP/1.0\\r\\n\\r\\n"}),
    ("ltm/monitor/https", "https", {"defaultsFrom": "none"}),
    ("ltm/monitor/https", "https_443", {"destination": "*:443"}),
    ("ltm/monitor/https", "https_head_f5", {"recv": "Server\\:", "send": "HEAD / HTTP/1.0\\r\\n\\r\\n"}),
    ("ltm/monitor/tcp", "tcp", {"defaultsFrom": "none"}),
    ("ltm/monitor/icmp", "icmp", {"defaultsFrom": "none"}),
    ("ltm/policy-strategy", "all-match", {"strategy": "all-match"}),
    ("ltm/policy-strategy", "best-match", {"strategy": "best-match"}),
    ("ltm/policy-strategy", "first-match", {"strategy": "first-match"}),
    ("ltm/rule", "_sys_https_redirect", {"apiAnonymous": _REDIRECT,
                                         "apiRawValues": {"verificationStatus": "signature-verified"}}),
    ("cm/device-group", "device_trust_group", {"autoSync": "enabled"}),
    ("cm/device-group", "gtm", {}),
    ("cm/traffic-group", "traffic-group-1", {}),
    ("cm/traffic-group", "traffic-group-local-only", {"isFloating": "false", "unitId": 0}),
)  # fmt: skip


def configuration(
    ca: TestCA, partitions: Iterable[str], group: str = "", devices: Sequence[str] = (), *, version: str
) -> Configuration:
    """A device fresh from the factory, with these partitions; ``ca`` stands in for the public CAs of ca-bundle.crt.

    With ``group`` it belongs to a sync-failover device group of these devices.
    """
    draft = Draft(Configuration(), "root")
    draft.put("sys/folder", "/", {"name": "/", "fullPath": "/"})
    for name in partitions:
        text = {"description": "Repository for system objects and shared objects."} if name == "Common" else {}
        draft.put("auth/partition", name, {"name": name, "fullPath": name, **text})
        draft.put("sys/folder", f"/{name}", {"name": name, "subPath": "/", "fullPath": f"/{name}"})
    for collection, name, said in _BASE:
        put(draft, collection, name, said | (_BEFORE_TLS13 if name in _SSL and not knows_tls13(version) else {}))
    if group:
        members = [
            {"name": name, "partition": "Common", "fullPath": f"/Common/{name}", "generation": 1} for name in devices
        ]
        put(
            draft, "cm/device-group", group, {"type": "sync-failover", "networkFailover": "enabled", "devices": members}
        )
    for name in _PROVISION:
        draft.put(
            "sys/provision", name, {"name": name, "fullPath": name, "level": "nominal" if name == "ltm" else "none"}
        )
    own = ca.self_signed(["localhost.localdomain"], days=3650)
    key = own.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    _file(draft, fileobjects.KEY, "default.key", key, "ssl.key")
    _file(draft, fileobjects.CERT, "default.crt", own.leaf.public_bytes(Encoding.PEM), "ssl.crt")
    _file(draft, fileobjects.CERT, "ca-bundle.crt", ca.root_pem + ca.chain_pem, "ssl.crt")
    return draft.freeze()


def put(draft: Draft, collection: str, name: str, said: Json) -> None:
    """An object of ``/Common`` that needs no judging."""
    path = compose("Common", "", name)
    draft.put(collection, path, {"name": name, "partition": "Common", "fullPath": path, **said})


def _file(draft: Draft, collection: str, name: str, content: bytes, where: str) -> None:
    made = {"createTime": stamp(), "createdBy": "root", "revision": 1, "systemPath": f"/config/ssl/{where}/{name}"}
    body = {"name": name, "partition": "Common", "fullPath": f"/Common/{name}", **made}
    fileobjects.fill(draft, collection, body, content)
