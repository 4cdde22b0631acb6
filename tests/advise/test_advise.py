"""Each rule of the adviser: the fact that triggers it, and the farm on which it is silent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from lbsync.advice import Advice
from lbsync.advise import advise
from lbsync.desired import Desired, FactSet
from lbsync.facts import BindingFacts, OAuthFacts, ServerFacts, ServerLive, TokenChecking
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, all_modes, balancer_facts, desired, fact_set, leaf_info

ABLE = {"lb1": Capabilities()}


def judge(facts: FactSet, wish: Desired | None = None, capabilities: dict[str, Capabilities] | None = None) -> Advice:
    """Advice on a farm, at a fixed time."""
    return advise(wish or desired(), facts, capabilities or ABLE, NOW)


def rules(advice: Advice) -> set[str]:
    """The ids of the rules that refuse."""
    return {finding.rule for finding in advice.refusals}


def warned(advice: Advice) -> set[str]:
    """The ids of all rules that spoke without refusing."""
    said = [*advice.farm, *(f for verdict in advice.services for f in verdict.findings)]
    return {finding.rule for finding in said if finding.severity == "warn"}


def with_server(facts: FactSet, change: Callable[[ServerFacts], ServerFacts], index: int = 1) -> FactSet:
    """The same facts with one server changed."""
    servers = list(facts.servers)
    servers[index] = change(servers[index])
    return facts.model_copy(update={"servers": tuple(servers)})


def with_vdir(facts: FactSet, service: Service, **update: object) -> FactSet:
    """The same facts with one virtual directory of every server changed."""

    def change(server: ServerFacts) -> ServerFacts:
        vdirs = tuple(v.model_copy(update=update) if service in v.services else v for v in server.vdirs)
        return server.model_copy(update={"vdirs": vdirs})

    return facts.model_copy(update={"servers": tuple(change(server) for server in facts.servers)})


def test_a_healthy_farm_may_be_offloaded_and_is_advised_to_bridge() -> None:
    """Nothing refuses a sound farm; bridging is recommended, offload possible for eight services."""
    advice = judge(fact_set())
    assert advice.refusals == ()
    assert warned(advice) == {"offload-undocumented"}
    for verdict in advice.services:
        assert verdict.recommended is Mode.BRIDGE
        assert Mode.BRIDGE in verdict.possible
        assert (Mode.OFFLOAD in verdict.possible) is (verdict.service is not Service.MRSPROXY)
        assert not verdict.refused


def test_mrsproxy_is_never_offloaded() -> None:
    """Asking for it is refused with the setting to change."""
    advice = judge(fact_set(), desired(all_modes(Mode.OFFLOAD) | {Service.MRSPROXY: Mode.OFFLOAD}))
    assert rules(advice) == {"never-offloaded"}
    assert next(v for v in advice.services if v.service is Service.MRSPROXY).refused


@pytest.mark.parametrize("checking", [TokenChecking.ALLOW, TokenChecking.REQUIRE])
def test_extended_protection_anywhere_forbids_offloading_everything(checking: TokenChecking) -> None:
    """One protected location is enough, and its server is named."""
    facts = with_vdir(fact_set(), Service.MAPI, token_checking=checking)
    advice = judge(facts)
    assert rules(advice) == {"extended-protection"}
    assert all(Mode.OFFLOAD not in verdict.possible for verdict in advice.services)
    assert advice.refusals[0].where == ("EX01", "EX02")
    assert judge(facts, desired(all_modes(Mode.BRIDGE))).refusals == ()


@pytest.mark.parametrize(
    "oauth",
    [
        OAuthFacts(oauth2_client_profile_enabled=True),
        OAuthFacts(evosts_is_default=True),
        OAuthFacts(hybrid_configuration=True),
    ],
)
def test_oauth_in_use_forbids_offloading(oauth: OAuthFacts) -> None:
    """Each of the three ways in which OAuth is in use counts."""
    facts = fact_set()
    facts = facts.model_copy(update={"farm": facts.farm.model_copy(update={"oauth": oauth})})
    assert rules(judge(facts)) == {"oauth-in-use"}


def test_an_unread_directory_forbids_offloading() -> None:
    """What cannot be judged is not allowed."""
    facts = fact_set()
    facts = facts.model_copy(update={"farm": facts.farm.model_copy(update={"read": False})})
    assert rules(judge(facts)) == {"directory-unread"}


def test_client_certificates_are_not_dropped() -> None:
    """Only the service that uses them is refused."""
    facts = with_vdir(fact_set(), Service.ACTIVESYNC, ssl_flags="Ssl, SslNegotiateCert")
    advice = judge(facts)
    assert rules(advice) == {"client-certificates"}
    assert [v.service for v in advice.services if v.refused] == [Service.ACTIVESYNC]


def test_the_leg_must_be_declared_trusted() -> None:
    """Credentials go over it in clear."""
    assert rules(judge(fact_set(), desired(trusted_leg=False))) == {"leg-not-trusted"}


def test_plain_http_must_be_bound() -> None:
    """A front-end site without an http binding cannot be offloaded."""
    facts = with_server(fact_set(), lambda s: s.model_copy(update={"bindings": s.bindings[1:]}))
    advice = judge(facts)
    assert rules(advice) == {"no-http-binding"}
    assert advice.refusals[0].where == ("EX02",)


def test_a_missing_virtual_directory_is_refused() -> None:
    """One missing on one server differs from the others, and cannot be offloaded."""
    facts = with_server(
        fact_set(),
        lambda s: s.model_copy(update={"vdirs": tuple(v for v in s.vdirs if Service.OAB not in v.services)}),
    )
    assert rules(judge(facts)) == {"drift", "vdir-missing"}


def test_redirects_to_https_would_loop() -> None:
    """A redirect to https is refused; one to a path is not."""
    assert rules(judge(with_vdir(fact_set(), Service.OWA, redirect="https://mail.contoso.test/owa"))) == {
        "redirect-to-https"
    }
    assert rules(judge(with_vdir(fact_set(), Service.OWA, redirect="/owa"))) == set()


def test_rewrite_rules_are_shown() -> None:
    """They may or may not send http to https: a person judges."""
    assert "rewrite-rules" in warned(judge(with_vdir(fact_set(), Service.OWA, rewrite_rules=("to https",))))


def test_outlook_anywhere_needs_its_cmdlet() -> None:
    """Without Set-OutlookAnywhere it is refused only while SSLOffloading is off."""
    facts = fact_set()
    farm = facts.farm.model_copy(update={"missing_cmdlets": ("Set-OutlookAnywhere",)})
    advice = judge(facts.model_copy(update={"farm": farm}))
    assert rules(advice) == {"cannot-set-outlook-anywhere"}
    assert "missing-cmdlets" in warned(advice)
    done = farm.model_copy(
        update={"outlook_anywhere": tuple(o.model_copy(update={"ssl_offloading": True}) for o in farm.outlook_anywhere)}
    )
    assert rules(judge(facts.model_copy(update={"farm": done}))) == set()


def test_outlook_anywhere_must_be_known_to_ad() -> None:
    """A server that AD lists no Outlook Anywhere for cannot offload it."""
    facts = fact_set()
    farm = facts.farm.model_copy(update={"outlook_anywhere": facts.farm.outlook_anywhere[:1]})
    assert rules(judge(facts.model_copy(update={"farm": farm}))) == {"outlook-anywhere-missing"}


def test_a_mode_the_balancer_cannot_do_is_told_at_plan_time() -> None:
    """Refused for each service that wants it, and for no other."""
    bridging = {"lb1": Capabilities(modes=frozenset({Mode.BRIDGE}), ntlm_safe=frozenset({Mode.BRIDGE}))}
    assert rules(judge(fact_set(), capabilities=bridging)) == {"balancer-cannot-offload"}
    assert rules(judge(fact_set(), desired(all_modes(Mode.BRIDGE)), bridging)) == set()
    offloading = {"lb1": Capabilities(modes=frozenset({Mode.OFFLOAD}), ntlm_safe=frozenset({Mode.OFFLOAD}))}
    advice = judge(fact_set(), capabilities=offloading)
    assert rules(advice) == {"balancer-cannot-bridge"}
    assert [v.service for v in advice.services if v.refused] == [Service.MRSPROXY]


def test_bridging_under_extended_protection_needs_the_same_certificate() -> None:
    """Another leaf on one server is refused; without Extended Protection it is drift only."""
    wish = desired(all_modes(Mode.BRIDGE))
    facts = fact_set()
    other = with_server(facts, lambda s: _holding(s, 2))
    assert rules(judge(other, wish)) == {"drift"}
    protected = with_vdir(other, Service.EWS, token_checking=TokenChecking.ALLOW)
    advice = judge(protected, wish)
    assert rules(advice) == {"drift", "bridge-another-certificate"}
    assert [v.service for v in advice.services if v.refused] == [Service.EWS, Service.MRSPROXY]
    bare = with_server(protected, lambda s: s.model_copy(update={"bindings": ()}))
    assert "bridge-another-certificate" in rules(judge(bare, wish))


def _holding(server: ServerFacts, number: int) -> ServerFacts:
    leaf = leaf_info(number)
    stored = server.certificates[0].model_copy(update={"info": leaf})
    bindings = tuple(
        b.model_copy(update={"thumbprint": leaf.thumbprint}) if b.thumbprint else b for b in server.bindings
    )
    return server.model_copy(update={"certificates": (stored,), "bindings": bindings})


def test_suppressed_extended_protection_is_shown() -> None:
    """The registry value matters only where Extended Protection is on."""
    facts = with_server(fact_set(), lambda s: s.model_copy(update={"suppress_extended_protection": 1}))
    wish = desired(all_modes(Mode.BRIDGE))
    assert "suppress-extended-protection" not in warned(judge(facts, wish))
    protected = with_vdir(facts, Service.OWA, token_checking=TokenChecking.REQUIRE)
    assert "suppress-extended-protection" in warned(judge(protected, wish))


@pytest.mark.parametrize(
    ("update", "rule"),
    [
        ({"setup_running": True}, "setup-at-work"),
        ({"setup_incomplete": True}, "setup-at-work"),
        ({"administrator": False}, "not-administrator"),
        ({"version": "15.0.516.32"}, "before-2013-sp1"),
        ({"live": ServerLive(pools={"MSExchangeOWAAppPool": "Stopped", "DefaultAppPool": "Stopped"})}, "pool-stopped"),
    ],
)
def test_states_in_which_nothing_may_change(update: dict[str, object], rule: str) -> None:
    """Each is refused and names the server."""
    advice = judge(with_server(fact_set(), lambda s: s.model_copy(update=update)))
    assert rules(advice) == {rule}
    assert advice.refusals[0].where == ("EX02",)


def test_what_the_readers_found_odd_is_shown() -> None:
    """Problems of servers, directory and balancers become warnings."""
    facts = with_server(fact_set(), lambda s: s.model_copy(update={"problems": ("two sources disagree",)}))
    facts = facts.model_copy(
        update={
            "farm": facts.farm.model_copy(update={"problems": ("no hybrid answer",)}),
            "balancers": (balancer_facts().model_copy(update={"problems": ("map differs",)}),),
        }
    )
    assert {"server-problem", "directory-problem", "balancer-problem"} <= warned(judge(facts))


def test_a_loopback_binding_with_another_certificate_is_shown() -> None:
    """Exchange talks to itself over it."""

    def change(server: ServerFacts) -> ServerFacts:
        other = BindingFacts(
            site="Default Web Site", protocol="https", address="127.0.0.1", port=443, thumbprint=leaf_info(9).thumbprint
        )
        return server.model_copy(update={"bindings": (*server.bindings[:2], other)})

    assert "loopback-binding" in warned(judge(with_server(fact_set(), change)))


def test_members_that_differ_are_refused_unless_levelling_is_allowed() -> None:
    """Drift refuses; allow_drift makes it a warning; a different build warns only."""
    facts = with_server(fact_set(), lambda s: s.model_copy(update={"build": "15.2.986.49"}))
    assert rules(judge(facts)) == set()
    assert "version-drift" in warned(judge(facts))
    bare = with_server(fact_set(), lambda s: s.model_copy(update={"bindings": s.bindings[:1]}))
    advice = judge(bare)
    assert rules(advice) == {"drift"}
    assert "none" in advice.refusals[0].reason
    levelled = judge(bare, desired(limits={"allow_drift": True}))
    assert rules(levelled) == set()
    assert "drift-allowed" in warned(levelled)


@pytest.mark.parametrize(
    ("leaf", "rule"),
    [
        (leaf_info(days_left=-1), "certificate-expired"),
        (leaf_info(names=("other.contoso.test",)), "certificate-name-missing"),
        (leaf_info().model_copy(update={"key_bits": 1024}), "certificate-weak-key"),
        (leaf_info().model_copy(update={"self_signed": True}), "certificate-self-signed"),
        (leaf_info().model_copy(update={"not_before": NOW + timedelta(days=1)}), "certificate-not-yet-valid"),
    ],
)
def test_an_unfit_certificate_is_refused(leaf: object, rule: str) -> None:
    """Each weakness has its own rule."""
    assert rule in rules(judge(fact_set(), desired(leaf=leaf)))


def test_a_certificate_that_could_not_be_determined_is_refused() -> None:
    """With the reason it could not, or a plain one."""
    advice = judge(fact_set(), desired(leaf=None, leaf_problem="members serve 2 certificates"))
    assert [f.reason for f in advice.refusals] == ["members serve 2 certificates"]
    assert rules(judge(fact_set(), desired(leaf=None))) == {"certificate-unknown"}


def test_a_chain_problem_is_shown() -> None:
    """Old clients need the intermediates."""
    assert "certificate-chain" in warned(judge(fact_set(), desired(chain_problem="the intermediate is missing")))


def test_a_key_that_cannot_be_exported_is_refused_until_the_balancers_hold_it() -> None:
    """Where every balancer has the certificate already, nothing needs exporting."""
    assert rules(judge(fact_set(), desired(leaf_exportable=False))) == {"certificate-not-exportable"}
    holding = fact_set(balancers=(balancer_facts(modes=all_modes(Mode.BRIDGE)),))
    assert rules(judge(holding, desired(leaf_exportable=False))) == set()


def test_exchanges_own_word_on_the_certificate_counts() -> None:
    """A pending request is no certificate."""

    def change(server: ServerFacts) -> ServerFacts:
        stored = server.certificates[0].model_copy(update={"status": "PendingRequest"})
        return server.model_copy(update={"certificates": (stored,)})

    assert rules(judge(with_server(fact_set(), change))) == {"certificate-status"}
    none = with_server(fact_set(), lambda s: s.model_copy(update={"certificates": ()}))
    assert "certificate-status" not in rules(judge(none))


def test_a_blocked_or_marked_balancer_is_refused() -> None:
    """Its own reasons are told; an unfinished run is named."""
    facts = fact_set(
        balancers=(balancer_facts().model_copy(update={"blockers": ("no admin socket",), "marker": "plan x"}),)
    )
    advice = judge(facts)
    assert rules(advice) == {"balancer-blocked", "balancer-marked"}
    assert "plan x" in advice.refusals[1].reason


def test_the_name_a_balancer_verifies_must_stand_on_the_servers_leaf() -> None:
    """A leaf with the shared names only would close every bridged pool."""
    names = {"EX01": "mail.contoso.test", "EX02": "ex02.contoso.test"}
    advice = judge(fact_set(), desired(all_modes(Mode.BRIDGE), tls_names=names))
    assert rules(advice) == {"bridge-name-missing"}
    assert {finding.where for finding in advice.refusals} == {("EX02",)}
    nameless = fact_set()
    bare = with_server(nameless, lambda s: _holding(s, 1))
    stored = bare.servers[1].certificates[0].model_copy(update={"info": leaf_info(1, names=("x",))})
    bare = with_server(bare, lambda s: s.model_copy(update={"certificates": (stored,)}))
    assert "bridge-name-missing" in rules(judge(bare, desired(all_modes(Mode.BRIDGE), tls_names=names)))
