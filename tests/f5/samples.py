"""Values that the tests of the pure rooms share: a farm, settings of each way of publishing, a device as its REST API shows it.

Rule of this file: values only; nothing runs. What is shown has what a device adds of its own, as captured from 14.1.2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec, Member
from lbsync_certs import Fingerprint
from lbsync_f5 import things
from lbsync_f5.judge import attached_profiles, policy_for
from lbsync_f5.names import split
from lbsync_f5.policy import mrsproxy_policy
from lbsync_f5.render import member_name, names_of, node, render
from lbsync_f5.seen import Seen, Standing
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing
from lbsync_f5.wire import DeviceInfo, SyncStatus, chain_entry

LEAF, OTHER = Fingerprint("a" * 64), Fingerprint("b" * 64)
BRIDGED = dict.fromkeys(SERVICES, Mode.BRIDGE)
OFFLOADED = {service: Mode.OFFLOAD if spec.offloadable else Mode.BRIDGE for service, spec in SERVICES.items()}
NAME = "mail.contoso.test"
VERSION = "14.1.2.1"
SPEC = BalancerSpec(
    name="lb1",
    hosts=(NAME, "autodiscover.contoso.test"),
    members=(
        Member(name="EX01", address="10.0.0.11", tls_name=NAME),
        Member(name="EX02", address="10.0.0.12", http_port=8080, https_port=8443, tls_name=NAME),
        Member(name="EX03", address="fd00::3", tls_name=NAME),
    ),
    services=tuple(SERVICES),
    server_ca_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
)
PASSWORD = "correct horse battery staple"
VIRTUAL = "/Common/exchange"
"""The administrator's own virtual server, to attach to."""
LOGIN: dict[str, object] = {"hosts": ("bigip.contoso.test",), "user": "lbsync", "password": PASSWORD}


def settings(**changes: object) -> F5Settings:
    """Settings that can be, with changes."""
    own = {} if "attach" in changes else {"bind_address": "192.0.2.10"}
    return F5Settings.model_validate({**LOGIN, **own, **changes})


CONNECTIONS = settings()
REQUESTS = settings(ntlm="unused")
APART = settings(mrsproxy_host="mrs.contoso.test", mrsproxy_address="192.0.2.11")
ATTACHED = settings(attach=VIRTUAL, probe_address="192.0.2.10")
ATTACHED_REQUESTS = settings(attach=VIRTUAL, probe_address="192.0.2.10", ntlm="unused")
WAYS = {
    "connections": CONNECTIONS,
    "requests": REQUESTS,
    "apart": APART,
    "attached": ATTACHED,
    "attached-requests": ATTACHED_REQUESTS,
}
ALONE = Standing((DeviceInfo("bigip01.lab.local", itself=True, state="active", version=VERSION),))
GROUP = "/Common/exchange-ha"


def pair(*, state: str = "active", groups: Iterable[str] = (GROUP,), sync: str = "In Sync", said: str = "") -> Standing:
    """The standing of one of two devices."""
    devices = (
        DeviceInfo("bigip01.lab.local", itself=True, state=state, version=VERSION),
        DeviceInfo(
            "bigip02.lab.local", itself=False, state="active" if state != "active" else "standby", version=VERSION
        ),
    )
    return Standing(devices, tuple((one, False) for one in groups), SyncStatus(sync, (said,) if said else ()))


def _head(collection: str, path: str) -> dict[str, Any]:
    partition, folder, name = split(path)
    link = f"https://localhost/mgmt/tm/{collection}/{path.replace('/', '~')}?ver={VERSION}"
    kind = f"tm:{collection.replace('/', ':')}:{collection.rpartition('/')[2]}state"
    own = {"kind": kind, "name": name, "partition": partition, "fullPath": path, "generation": 7, "selfLink": link}
    return own | ({"subPath": folder} if folder else {})


def _below(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {"link": "https://localhost/mgmt/tm/...", "isSubcollection": True, "items": [dict(one) for one in items]}


def _member(one: Mapping[str, Any], nodes: Mapping[str, str]) -> dict[str, Any]:
    path = member_name(nodes.get(str(one["address"]), f"/Common/{one['address']}"), int(one["port"]))
    more = {"address": one["address"], "session": "monitor-enabled", "state": "up", "priorityGroup": 0, "ratio": 1}
    return {"name": split(path)[2], "partition": "Common", "fullPath": path, **more}


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    parts = {f"{name}Reference": _below(rule[name]) for name in ("actions", "conditions")}
    return {"name": rule["name"], "ordinal": rule["ordinal"], "fullPath": rule["name"], **parts}


def shown(thing: Thing, nodes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An object as a device of 14.1 shows it, sub-collections in line."""
    body: dict[str, Any] = {**thing.body}
    if thing.collection == things.POOL:
        body["membersReference"] = _below(_member(one, nodes or {}) for one in body.pop("members"))
        body |= {"monitor": f"{body['monitor']} ", "allowNat": "yes", "minActiveMembers": 0}
    elif thing.collection == things.POLICY:
        body["rulesReference"] = _below(_rule(one) for one in body.pop("rules"))
        body["status"] = "published"
    elif thing.collection == things.VIRTUAL:
        body["profilesReference"] = _below(
            {"name": split(one["name"])[2], "partition": "Common", "fullPath": one["name"], "context": one["context"]}
            for one in reversed(body.pop("profiles"))
        )
        policies = [split(one)[2] for one in body.pop("policies", [])]
        body["policiesReference"] = _below(
            {"name": one, "partition": "Common", "fullPath": f"/Common/{one}"} for one in policies
        )
        if not body["rules"]:
            del body["rules"]
        vlans = body.pop("vlans", [])
        body |= {"vlansEnabled": True, "vlans": vlans} if vlans else {"vlansDisabled": True}
        body |= {"enabled": True, "source": "0.0.0.0/0", "vsIndex": 3}
    elif thing.collection == things.CLIENT_SSL:
        body |= {"cacheSize": str(body["cacheSize"]), "tmOptions": "{ dont-insert-empty-fragments no-tlsv1.3 }"}
    return _head(thing.collection, thing.path) | body


def virtual(**changes: object) -> dict[str, Any]:
    """The administrator's virtual server: with http and TLS profiles of its own."""
    profiles = [
        {"name": "/Common/tcp", "context": "all"},
        {"name": "/Common/http", "context": "all"},
        {"name": "/Common/clientssl", "context": "clientside"},
        {"name": "/Common/serverssl", "context": "serverside"},
    ]
    body: dict[str, Any] = {"destination": "/Common/192.0.2.10:443", "profiles": profiles, "rules": [], **changes}
    return shown(Thing(collection=things.VIRTUAL, path=VIRTUAL, body=body))


PROFILES = {
    "/Common/http": things.HTTP,
    "/Common/clientssl": things.CLIENT_SSL,
    "/Common/serverssl": things.SERVER_SSL,
    "/Common/oneconnect": things.ONE_CONNECT,
}


def nothing(way: F5Settings, **changes: Any) -> Seen:
    """A look at a device without anything of ours."""
    virtuals = {VIRTUAL: virtual()} if way.attach is not None else {}
    seen = Seen(
        where="https://bigip.contoso.test:443",
        version=VERSION,
        standing=ALONE,
        partitions=frozenset({"Common"}),
        objects={things.VIRTUAL: virtuals},
        all_virtuals=virtuals,
        profiles=PROFILES if way.attach is not None else {},
    )
    return replace(seen, **changes)


def published(
    way: F5Settings, modes: Mapping[Service, Mode] = BRIDGED, spec: BalancerSpec = SPEC, **changes: Any
) -> Seen:
    """A look at a device that has all of ours, serving ``LEAF``."""
    names = names_of(spec, way)
    rendered = render(spec, way)
    policies = [policy_for(names, (thing.path for thing in rendered), modes), mrsproxy_policy(names)]
    objects: dict[str, dict[str, Any]] = {name: {} for name in (*things.ORDER, things.POLICY)}
    addresses = list(dict.fromkeys(member.address for member in spec.members))
    nodes = {address: f"/{way.partition}/{address}" for address in addresses}
    for thing in rendered:
        item = thing
        if thing.collection == things.VIRTUAL and thing.path != names.redirect:
            own = policies[1] if thing.path == names.mrsproxy else policies[0]
            item = thing.model_copy(update={"body": {**thing.body, "policies": [own.path]}})
        objects[thing.collection][thing.path] = shown(item, nodes)
    objects[things.CLIENT_SSL][names.client_ssl]["certKeyChain"] = chain_entry(
        names.certificate(LEAF), names.key(LEAF), None
    )
    for one in policies[: 2 if way.mrsproxy_host else 1]:
        objects[things.POLICY][one.path] = shown(one)
    for address in addresses:
        own = node(spec.name, way, address)
        objects[things.NODE][own.path] = shown(own)
    objects[things.SSL_CERT] = {
        names.certificate(LEAF): _head(things.SSL_CERT, names.certificate(LEAF)) | {"fingerprint": told(LEAF)}
    }
    objects[things.SSL_KEY] = {names.key(LEAF): _head(things.SSL_KEY, names.key(LEAF))}
    seen = nothing(way)
    if way.attach is not None:
        before = nothing(way, profiles=PROFILES).all_virtuals[VIRTUAL]
        profiles = attached_profiles(seen, way, names, before)
        objects[things.VIRTUAL][VIRTUAL] = virtual(profiles=profiles, policies=[policies[0].path])
    mine = {
        path: one
        for one in (things.HTTP, things.CLIENT_SSL, things.SERVER_SSL, things.ONE_CONNECT)
        for path in objects[one]
    }
    kinds = {path: next(kind for kind, found in objects.items() if path in found) for path in mine}
    look = replace(
        seen,
        objects=objects,
        all_virtuals=objects[things.VIRTUAL],
        nodes=nodes,
        profiles={**PROFILES, **kinds} if way.attach is not None else {},
    )
    return replace(look, **changes)


def told(leaf: str) -> str:
    """A fingerprint as a certificate object has it."""
    return f"SHA256/{':'.join(leaf[at : at + 2].upper() for at in range(0, 64, 2))}"


def edited(seen: Seen, collection: str, path: str, **changes: object) -> Seen:
    """The same with properties of one object changed; ``None`` for ``path`` of no object."""
    item = {**seen.objects[collection][path], **changes}
    objects = {**seen.objects, collection: {**seen.objects[collection], path: item}}
    return replace(seen, objects=objects, all_virtuals=objects.get(things.VIRTUAL, {}))


def objects(seen: Seen, collection: str, **changes: Any) -> Seen:
    """The same with other objects of one collection."""
    return replace(seen, objects={**seen.objects, collection: changes})
