"""A look at a glance: lights, modes, servers and certificates, from facts to values."""

from __future__ import annotations

from lbsync.facts import FarmFacts, OutlookAnywhereFacts
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.testing.farm_facts import NOW, all_modes
from lbsync.verdict import Greeting, Listener
from lbsync.watch.items import Sight
from lbsync.watch.overview import Lamp, Overview, overview
from tests.watch.sights import HOST, NEW, OLD, balancer, farm, greeting, sight

LISTENERS = {"lb1": Listener(balancer="lb1", address="192.0.2.1", https_port=8443)}


def seen(found: Sight) -> Overview:
    """As it is shown."""
    return overview(found, "contoso", all_modes(Mode.BRIDGE), LISTENERS, NOW)


def test_each_listener_has_its_light_and_its_days() -> None:
    """Ours, another one, none at all, and one whose balancer could not be asked what it was given."""
    silent = Greeting(balancer="lb1", host=HOST, failures=("connection refused",))
    unknown = greeting().model_copy(update={"balancer": "lb9"})
    lost = silent.model_copy(update={"balancer": "lb9"})
    found = seen(sight(greetings=(greeting(), greeting(NEW), silent, unknown, lost)))
    assert [one.light for one in found.listeners] == [Lamp.GREEN, Lamp.YELLOW, Lamp.RED, Lamp.UNKNOWN, Lamp.RED]
    assert [one.address for one in found.listeners[::3]] == ["192.0.2.1:8443", ""]
    assert (found.listeners[0].thumbprint, found.listeners[0].days) == (OLD.thumbprint, 200)
    assert (found.listeners[2].thumbprint, found.listeners[2].days, found.listeners[2].not_after) == (None, None, None)


def test_modes_stand_beside_what_is_wanted() -> None:
    """For every service at every balancer; where nothing is published there is no mode."""
    bare = balancer(name="lb2").model_copy(update={"published": False})
    found = seen(sight(facts=farm(balancer(), bare)))
    assert {one.mode for one in found.modes if one.balancer == "lb1"} == {Mode.BRIDGE}
    assert {one.mode for one in found.modes if one.balancer == "lb2"} == {None}
    assert len(found.modes) == 2 * len(Service)


def test_servers_say_what_they_would_take_as_plain_http() -> None:
    """By Require SSL of each virtual directory, and for Outlook Anywhere by what Active Directory holds."""
    facts = farm()
    bare = facts.servers[1].model_copy(update={"bindings": (), "vdirs": ()})
    open_owa = tuple(
        vdir.model_copy(update={"ssl_flags": "None"}) if Service.OWA in vdir.services else vdir
        for vdir in facts.servers[0].vdirs
    )
    outlook = OutlookAnywhereFacts(
        server="EX01", ssl_offloading=True, internal_clients_require_ssl=False, external_clients_require_ssl=True
    )
    changed = facts.model_copy(
        update={
            "servers": (facts.servers[0].model_copy(update={"vdirs": open_owa}), bare),
            "farm": FarmFacts(outlook_anywhere=(outlook,)),
        }
    )
    first, second = seen(sight(facts=changed)).servers
    assert set(first.prepared) == {Service.OWA, Service.OUTLOOK_ANYWHERE}
    assert (first.thumbprint, first.days) == (OLD.thumbprint, 200)
    assert (second.prepared, second.thumbprint, second.days) == ((), None, None)


def test_each_certificate_is_listed_once_with_its_users() -> None:
    """The one that ends first in front."""
    found = seen(sight(greetings=(greeting(NEW),)))
    assert [(one.thumbprint, one.users) for one in found.certificates] == [
        (OLD.thumbprint, ("EX01", "EX02")),
        (NEW.thumbprint, ("lb1",)),
    ]
