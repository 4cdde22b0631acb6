"""What a drift means for the wanted modes, and what is offered: judged anew, and never what would be refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lbsync.advise import advise
from lbsync.desired import Desired, FactSet, Limits
from lbsync.drift.baseline import kept, sighted
from lbsync.drift.compare import compare
from lbsync.drift.difference import Difference, Kind
from lbsync.drift.offer import Offer, by_hand, mended, offer, only_levelling
from lbsync.drift.weigh import weigh
from lbsync.errors import UnsafeChange
from lbsync.facts import TokenChecking
from lbsync.model import Mode, Plan
from lbsync.plan import build
from lbsync.services import NO_SSL, REQUIRE_SSL, Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, Lowering, all_modes, desired, outlook_anywhere_facts
from tests.drift.looks import FRONT, NAMES, NEW, at_vdir, baseline, farm, on_balancer, on_server

ABLE = {"lb1": Capabilities()}
TARGETS = {name: Lowering(name) for name in (*NAMES, "directory")}
LENIENT = Limits(allow_drift=True)
OFFLOADED = tuple(outlook_anywhere_facts(name, offloading=True) for name in ("EX01", "EX02"))


def left(facts: FactSet) -> FactSet:
    """With Outlook Anywhere offloaded in AD too, as an apply leaves it."""
    return facts.model_copy(update={"farm": facts.farm.model_copy(update={"outlook_anywhere": OFFLOADED})})


@dataclass(frozen=True, slots=True)
class Case:
    """Everything the command has at hand."""

    differences: tuple[Difference, ...]
    why: dict[Difference, str]
    mended: frozenset[Difference]
    offer: Offer

    @classmethod
    def of(cls, now: FactSet, wish: Desired | None = None, before: FactSet | None = None) -> Case:
        """As ``lbsync drift`` puts it together."""
        wish = wish or desired()
        then = left(before or farm())
        differences = compare(baseline(then), sighted(now, NAMES)).differences
        advice = advise(wish, now, ABLE, NOW)
        plan = planned(wish, now)
        lenient = wish.model_copy(update={"limits": wish.limits.model_copy(update={"allow_drift": True})})
        level = planned(lenient, now) if plan is None and only_levelling(advice) else None
        bridged = lenient.model_copy(update={"modes": all_modes(Mode.BRIDGE)})
        return cls(
            differences,
            weigh(differences, wish, kept(then), kept(now), ABLE, at=NOW),
            mended(differences, wish, now, plan or level),
            offer(differences, advice, plan, level=level, may_bridge=planned(bridged, now) is not None),
        )

    @property
    def reasons(self) -> list[str]:
        """Why each matters, in order."""
        return [self.why[one] for one in self.differences]


def planned(wish: Desired, facts: FactSet) -> Plan | None:
    """The ordinary plan, where it is not refused."""
    try:
        return build(wish, facts, TARGETS, ABLE, NOW)
    except UnsafeChange:
        return None


ON = {"own_ssl_flags": REQUIRE_SSL, "ssl_flags": REQUIRE_SSL}


def test_nothing_differs() -> None:
    """Then there is nothing to offer."""
    case = Case.of(left(farm()))
    assert (case.differences, case.offer.kind, case.offer.steps) == ((), "nothing", 0)


def test_require_ssl_on_again_is_mended_by_the_plan() -> None:
    """It matters, and the ordinary plan takes it off."""
    case = Case.of(left(at_vdir(Service.EWS, **ON)), desired(limits=LENIENT))
    assert case.reasons == ["ews shall be offloaded: the plain HTTP of the balancer is answered with 403"]
    assert case.mended == set(case.differences)
    assert (case.offer.kind, case.offer.commands[:2]) == ("repair", ("lbsync plan", "lbsync apply"))
    assert case.offer.steps > 0


def test_one_server_alone_needs_levelling() -> None:
    """Servers that differ in what no plan is on its way to are refused; what lets the plan level the rest is said."""
    case = Case.of(left(at_vdir(Service.EWS, **ON, providers=("NTLM",))))
    assert (case.offer.kind, case.offer.commands[0]) == ("repair", "lbsync apply")
    assert "allow_drift = true" in case.offer.text
    assert len(case.mended) == 1 < len(case.differences)


def test_protection_is_a_decision_and_no_repair() -> None:
    """What a cumulative update turned on refuses offloading: bridging is named, where it would be planned."""
    protected = at_vdir(Service.MAPI, token_checking=TokenChecking.REQUIRE)
    case = Case.of(left(protected))
    assert case.offer.kind == "decide"
    assert case.offer.commands == ("lbsync advise", "lbsync plan --mode all=bridge")
    assert any("Extended Protection is on" in reason for reason in case.offer.reasons)
    assert case.reasons[0].startswith("Extended Protection is on")
    assert case.mended == frozenset()
    assert "ExchangeExtendedProtectionManagement" in by_hand(case.differences[0], is_mended=False, matters=True)


def test_no_bridging_is_named_where_it_would_be_refused() -> None:
    """Another certificate on a protected server refuses both."""
    wish = desired(modes=all_modes(Mode.BRIDGE), leaf=None, leaf_problem="nobody knows")
    case = Case.of(left(at_vdir(Service.EWS, **ON)), wish)
    assert (case.offer.kind, case.offer.commands) == ("decide", ("lbsync advise",))


def test_bridged_services_want_it_on() -> None:
    """Off matters under bridging; on is as wanted, whoever did it."""
    bridge = desired(modes=all_modes(Mode.BRIDGE), limits=LENIENT)
    off = Case.of(left(farm()), bridge, before=at_vdir(Service.EWS, **ON))
    assert off.reasons == ["ews, mrsproxy shall be bridged: plain HTTP is answered as well"]
    on = Case.of(left(at_vdir(Service.EWS, **ON)), bridge)
    assert on.reasons == [""]
    assert by_hand(on.differences[0], is_mended=False, matters=False).startswith("nothing is needed")


def test_as_wanted_is_not_mended() -> None:
    """What a plan would not touch is told so."""
    case = Case.of(left(at_vdir(Service.OWA, own_ssl_flags=None, ssl_flags=NO_SSL)))
    assert case.reasons == [""]
    assert (case.offer.kind, case.offer.commands) == ("by-hand", ("lbsync drift --adopt",))


def test_outlook_anywhere_is_mended_in_ad() -> None:
    """Its flags in IIS follow AD, so the plan mends both there."""
    back = at_vdir(Service.OUTLOOK_ANYWHERE, **ON)
    told = (outlook_anywhere_facts("EX01"), OFFLOADED[1])
    facts = back.model_copy(update={"farm": back.farm.model_copy(update={"outlook_anywhere": told})})
    case = Case.of(facts, desired(limits=LENIENT))
    assert {one.kind for one in case.mended} == {Kind.REQUIRE_SSL, Kind.OUTLOOK_ANYWHERE}
    assert case.offer.kind == "repair"


@pytest.mark.parametrize(
    ("facts", "reasons", "is_mended"),
    [
        (
            on_balancer(modes=all_modes(Mode.OFFLOAD) | {Service.OWA: Mode.BRIDGE}),
            ["owa shall be in mode offload"],
            True,
        ),
        (on_balancer(structure="s2"), ["it is not what this configuration calls for"], True),
        (on_balancer(published=False), ["it is not what this configuration calls for"], True),
        (on_balancer(version="3"), [""], False),
        (on_balancer(installed=(FRONT.fingerprint, NEW.fingerprint)), [""], False),
    ],
    ids=["mode", "structure", "nothing", "software", "installed"],
)
def test_balancers(facts: FactSet, reasons: list[str], is_mended: bool) -> None:
    """A plan publishes anew; what is no worse is left alone."""
    case = Case.of(left(facts))
    assert case.reasons == reasons
    assert bool(case.mended) is is_mended


def test_a_mode_as_wanted_and_a_structure_as_wanted() -> None:
    """Somebody brought about what the configuration says: that does not matter."""
    case = Case.of(left(farm()), before=on_balancer(structure="s0"))
    assert case.reasons == [""]
    modes = all_modes(Mode.OFFLOAD) | {Service.OWA: Mode.BRIDGE}
    assert Case.of(left(farm()), before=on_balancer(modes=modes)).reasons == [""]


def test_findings_of_the_whole_farm_count_where_they_speak_of_it() -> None:
    """Bindings that hold different certificates are new; a server that has nothing to do with them is not blamed."""
    half = tuple(
        one.model_copy(update={"thumbprint": NEW.thumbprint}) if one.address == "127.0.0.1" else one
        for one in farm().servers[0].bindings
    )
    case = Case.of(left(on_server(bindings=half, suppress_extended_protection=1)))
    told = dict(zip((one.subject for one in case.differences), case.reasons, strict=True))
    assert "hold different certificates" in told["Front End 127.0.0.1:443"]
    assert told["registry"] == ""


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_words_or_none(kind: Kind) -> None:
    """What a plan mends is no work for hands."""
    one = Difference(target="EX01", kind=kind, subject="x", text="y", before="a")
    assert by_hand(one, is_mended=True, matters=True) == ""
    silent = {
        Kind.MEMBER, Kind.VERSION, Kind.PUBLISHED, Kind.STRUCTURE, Kind.MODE, Kind.INSTALLED, Kind.SOFTWARE, Kind.UNIT,
        Kind.REQUIRE_SSL,
    }  # fmt: skip
    assert bool(by_hand(one, is_mended=False, matters=True)) is (kind not in silent)
    new = one.model_copy(update={"kind": Kind.STORE, "before": ""})
    assert by_hand(new, is_mended=False, matters=False) == ""
