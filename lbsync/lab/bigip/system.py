"""What a device tells of itself: version, clock, readiness, failover and sync status, the devices it knows.

Rule of this room: shapes as captured; what was captured of a standalone device only is assumption ``ha-answers`` for a pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lbsync.lab.bigip.names import HOST, Json, tilde


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SYS = _words(
    "application crypto daemon-log-settings disk file fpga icall ipfix log-config sflow software url-db cluster config"
    " daemon-ha datastor db dns feature-module folder global-settings ha-group httpd log-rotate management-dhcp"
    " management-ip management-route ntp outbound-smtp provision scriptd service smtp-server snmp sshd state-mirroring"
    " syslog ucs"
)
_CRYPTO = _words(
    "cert-validator fips allow-key-export ca-bundle-manager cert cert-order-manager client crl csr key server"
)
_COLOURS = {"In Sync": "green", "Standalone": "green", "Disconnected": "red", "Awaiting Initial Sync": "blue"}


@dataclass(slots=True)
class Peer:
    """One device as devices of its trust domain see it."""

    hostname: str
    state: str = "active"
    address: str = "127.0.0.1"


@dataclass(slots=True)
class System:
    """One device. ``sync_status``, ``group``, ``changed_on`` and ``peers`` are set by a pair.

    ``changed_on`` is the device whose change is not on the others yet; empty for this one.
    """

    me: Peer
    version: str
    sync_status: str = "Standalone"
    group: str = "device_trust_group"
    changed_on: str = ""
    peers: Callable[[], Sequence[Peer]] = field(default=lambda: ())
    began: float = field(default_factory=time.monotonic)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers."""
        return tuple(int(part) for part in self.version.split("."))

    def tell(self, path: str) -> Json | None:
        """The answer to a GET of one of these; ``None`` for what is not here."""
        answers: dict[str, Callable[[], Json]] = {
            "sys": lambda: self._references("sys", _SYS),
            "sys/crypto": lambda: self._references("sys/crypto", _CRYPTO),
            "sys/version": self._version_of,
            "sys/clock": lambda: self._stats(
                "sys/clock", {"fullDate": _text(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")}
            ),
            "sys/failover": self._failover,
            "sys/global-settings": self._settings,
            "cm/device": self._devices,
            "cm/sync-status": self._sync,
            "cm/failover-status": self._failover_status,
            "shared/bigip-failover-state": self._failover_state,
            "auth/source": lambda: self._state("auth/source", {"fallback": "false", "type": "local"}),
        }
        if path == "sys/ready" and self.numbers >= (13, 1):
            return self._stats(
                "sys/ready", {name: _text("yes") for name in ("configReady", "licenseReady", "provisionReady")}
            )
        answer = answers.get(path)
        return answer() if answer is not None else None

    def device(self, name: str) -> Json | None:
        """One of ``cm/device``."""
        return next((item for item in self._devices()["items"] if name in (item["fullPath"], item["name"])), None)

    def _known(self) -> Sequence[Peer]:
        return self.peers() or (self.me,)

    def _link(self, path: str) -> str:
        return f"{HOST}/{path}?ver={self.version}"

    def _references(self, path: str, names: Sequence[str]) -> Json:
        items = [{"reference": {"link": self._link(f"{path}/{name}")}} for name in names]
        last = path.rsplit("/", 1)[-1]
        kind = f"tm:{path.replace('/', ':')}:{last}collectionstate"
        return {"kind": kind, "selfLink": self._link(path), "items": items}

    def _state(self, path: str, said: Json) -> Json:
        return {
            "kind": f"tm:{path.replace('/', ':')}:{path.rsplit('/', 1)[-1]}state",
            "selfLink": self._link(path),
            **said,
        }

    def _stats(self, path: str, entries: Json) -> Json:
        kind = f"tm:{path.replace('/', ':')}:{path.rsplit('/', 1)[-1]}stats"
        inner = {f"{HOST}/{path}/0": {"nestedStats": {"entries": entries}}}
        return {"kind": kind, "selfLink": self._link(path), "entries": inner}

    def _version_of(self) -> Json:
        said = {"Build": "0.0.4", "Date": "Tue Sep 17 15:44:32 PDT 2019", "Edition": "Point Release 1",
                "Product": "BIG-IP", "Title": "Main Package", "Version": self.version}  # fmt: skip
        return self._stats("sys/version", {name: _text(value) for name, value in said.items()})

    def _failover(self) -> Json:
        seconds = int(time.monotonic() - self.began)
        since = f"{seconds // 86400}d {seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        told = {"apiAnonymous": f"Failover {self.me.state} for {since}\n"}
        return {"kind": "tm:sys:failover:failoverstats", "selfLink": self._link("sys/failover"), "apiRawValues": told}

    def _settings(self) -> Json:
        return self._state("sys/global-settings", {
            "awsApiMaxConcurrency": 1, "consoleInactivityTimeout": 0, "customAddr": "none",
            "failsafeAction": "go-offline-restart-tm", "fileBlacklistPathPrefix": "{/shared/3dns/} {/config/ssl/}",
            "fileBlacklistReadOnlyPathPrefix": "{/etc/shadow}", "fileLocalPathPrefix": "{/shared/} {/tmp/}",
            "fileWhitelistPathPrefix": "{/var/local/scf} {/tmp/} {/shared/} {/config/} {/usr/share/aws/}",
            "guiAudit": "disabled", "guiSecurityBanner": "enabled", "guiSecurityBannerText": "A simulated BIG-IP.",
            "guiSetup": "disabled", "hostAddrMode": "management", "hostname": self.me.hostname, "lcdDisplay": "enabled",
            "ledLocator": "disabled", "mgmtDhcp": "disabled", "netReboot": "disabled", "passwordPrompt": "Password",
            "quietBoot": "enabled", "usernamePrompt": "Username",
        })  # fmt: skip

    def _devices(self) -> Json:
        items = [self._device(peer) for peer in self._known()]
        return {"kind": "tm:cm:device:devicecollectionstate", "selfLink": self._link("cm/device"), "items": items}

    def _device(self, peer: Peer) -> Json:
        path = f"/Common/{peer.hostname}"
        return {
            "kind": "tm:cm:device:devicestate", "name": peer.hostname, "partition": "Common", "fullPath": path,
            "generation": 1, "selfLink": self._link(f"cm/device/{tilde(path)}"), "activeModules": ["BIG-IP, VE, LAB"],
            "alternateIp": "none", "baseMac": "00:0c:29:35:0d:bd", "build": "0.0.4", "cert": "/Common/dtdi.crt",
            "certReference": {"link": self._link("cm/cert/~Common~dtdi.crt")}, "chassisId": "564d4d7e-lab",
            "chassisType": "individual", "configsyncIp": peer.address if self.peers() else "none",
            "edition": "Point Release 1", "failoverState": peer.state, "haCapacity": 0, "hostname": peer.hostname,
            "key": "/Common/dtdi.key", "keyReference": {"link": self._link("cm/key/~Common~dtdi.key")},
            "managementIp": peer.address, "marketingName": "BIG-IP Virtual Edition", "mgmtUnicastMode": "both",
            "mirrorIp": "any6", "mirrorSecondaryIp": "any6", "multicastIp": "any6", "multicastPort": 0,
            "optionalModules": [], "platformId": "Z100", "product": "BIG-IP",
            "selfDevice": "true" if peer is self.me else "false", "timeZone": "America/Los_Angeles",
            "version": self.version,
        }  # fmt: skip

    def _sync(self) -> Json:
        status = self.sync_status
        details = "Optional action: Add a device to the trust domain"
        if status == "Changes Pending":
            holder = self.changed_on or self.me.hostname
            details = f"{self.group} ({status}): Recommended action: Synchronize {holder} to group {self.group}"
        elif status != "Standalone":
            details = f"{self.me.hostname}: {status}"
        return self._stats("cm/sync-status", {
            "color": _text(_COLOURS.get(status, "yellow")),
            f"{HOST}/cm/syncStatus/0/details": _details("syncStatus", details),
            "mode": _text("high-availability" if self.peers() else "standalone"),
            "status": _text(status),
            "summary": _text(" "),
        })  # fmt: skip

    def _failover_status(self) -> Json:
        active = sum(peer.state == "active" for peer in self._known())
        mine = self.me.state
        details = f"{mine} for /Common/traffic-group-1"
        return self._stats("cm/failover-status", {
            "color": _text("green" if mine == "active" else "gray"),
            f"{HOST}/cm/failoverStatus/0/details": _details("failoverStatus", details),
            "status": _text(mine.upper()),
            "summary": _text(f"{active}/{len(self._known())} active"),
        })  # fmt: skip

    def _failover_state(self) -> Json:
        return {"isEnabled": True, "pollCyclePeriodMillis": 3600000,
                "nextPollTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000+0000}", "failoverState": self.me.state,
                "generation": 0, "lastUpdateMicros": 0}  # fmt: skip


def _text(value: str) -> Json:
    return {"description": value}


def _details(name: str, value: str) -> Json:
    entry = {"nestedStats": {"entries": {"details": _text(value)}}}
    return {"nestedStats": {"entries": {f"{HOST}/cm/{name}/0/details/0": entry}}}
