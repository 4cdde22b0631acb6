"""Which certificate follows: found, judged, chosen by its thumbprint, never guessed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lbsync.errors import UnsafeChange
from lbsync.facts import StoredCertificate
from lbsync.rotation.candidates import Candidate, choose, judge, on_servers, renewals
from lbsync.rotation.sides import halves
from lbsync.testing.farm_facts import NOW, leaf_info, server_facts
from lbsync_certs import CertificateInfo, CertificateProblem

OLD = leaf_info(1, days_left=20)
NEW = leaf_info(2, days_left=380)


def held(info: CertificateInfo = NEW, **changes: object) -> Candidate:
    """A certificate on EX01."""
    return Candidate.model_validate({"info": info, "origin": "server", "places": ("EX01",), **changes})


def test_each_certificate_of_the_servers_is_one_candidate() -> None:
    """With every server that holds it; it can be exported where one of them gives it."""
    stored = StoredCertificate(info=NEW, has_private_key=True, exportable=False, status="Valid")
    one, two, three = (server_facts(name, OLD) for name in ("EX01", "EX02", "EX03"))
    one = one.model_copy(update={"certificates": (*one.certificates, stored)})
    bare = stored.model_copy(update={"has_private_key": False})
    two = two.model_copy(update={"certificates": (*two.certificates, bare)})
    found = {candidate.info: candidate for candidate in on_servers((one, two, three))}
    assert found[OLD].places == ("EX01", "EX02", "EX03")
    assert (found[NEW].places, found[NEW].has_key, found[NEW].exportable) == (("EX01", "EX02"), True, False)
    gives = stored.model_copy(update={"exportable": None, "status": "Revoked"})
    three = three.model_copy(update={"certificates": (gives,)})
    again = on_servers((two, three, one))
    assert [(one.exportable, one.has_key, one.status) for one in again if one.info == NEW] == [(True, True, "Revoked")]


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (held(has_key=False, exportable=False), "private key is nowhere"),
        (held(exportable=False), "-PrivateKeyExportable $true"),
        (held(status="PendingRequest"), "Exchange says that it is PendingRequest"),
        (held(leaf_info(3, days_left=-1)), "ended on"),
        (held(leaf_info(3, days_left=380, names=("mail.contoso.test",))), "autodiscover.contoso.test"),
    ],
    ids=["no key", "not exportable", "pending", "expired", "a name less"],
)
def test_what_is_dangerous_is_refused_with_its_reason(candidate: Candidate, words: str) -> None:
    """Nobody may overrule it."""
    judged = judge(OLD, candidate, NOW)
    assert words in " ".join(judged.refused)
    with pytest.raises(UnsafeChange) as refused:
        choose(OLD, [candidate], NOW, thumbprint=candidate.info.thumbprint, force=True)
    assert "--force" not in refused.value.remedy


def test_a_doubt_is_overruled_by_a_person_who_names_it() -> None:
    """It ends no later, or its key is weaker: never taken by itself."""
    shorter = leaf_info(4, days_left=10)
    with pytest.raises(UnsafeChange, match="no renewed certificate") as refused:
        choose(OLD, [held(shorter)], NOW, thumbprint=None, force=True)
    assert "no later than" in refused.value.reasons[0]
    with pytest.raises(UnsafeChange, match="must not follow") as refused:
        choose(OLD, [held(shorter)], NOW, thumbprint=shorter.thumbprint)
    assert "--force" in refused.value.remedy
    assert choose(OLD, [held(shorter)], NOW, thumbprint=shorter.thumbprint, force=True).candidate.info == shorter


def test_the_only_one_that_fits_is_chosen() -> None:
    """Whatever else lies in the stores: the one that is served, others' names, an expired one."""
    others = leaf_info(8, days_left=900, names=("federation.contoso.test",))
    odd = leaf_info(9, days_left=900, names=("*.*",))
    old = OLD.model_copy(update={"names": (*OLD.names, "a name")})
    assert renewals(old, [held(others)], NOW) == ()
    found = [held(OLD), held(others), held(odd), held(), held(leaf_info(3, days_left=-3))]
    assert choose(OLD, found, NOW, thumbprint=None).candidate.info == NEW
    assert [one.candidate.info.thumbprint for one in renewals(OLD, found, NOW)] == [
        NEW.thumbprint,
        leaf_info(3).thumbprint,
    ]


def test_several_are_listed_and_nobody_guesses() -> None:
    """The person names one by its thumbprint, however it was copied."""
    other = leaf_info(5, days_left=400)
    with pytest.raises(UnsafeChange, match="choose one") as refused:
        choose(OLD, [held(), held(other)], NOW, thumbprint=None)
    assert len(refused.value.reasons) == 2
    assert other.thumbprint in refused.value.reasons[0]
    spelled = " ".join(other.thumbprint[at : at + 2].lower() for at in range(0, 40, 2))
    assert choose(OLD, [held(), held(other)], NOW, thumbprint=spelled).candidate.info == other


def test_a_thumbprint_that_nobody_has_is_told() -> None:
    """With those that there are; and one that is none is no thumbprint."""
    with pytest.raises(UnsafeChange, match="nobody has a certificate") as refused:
        choose(OLD, [held()], NOW, thumbprint="F" * 40)
    assert NEW.thumbprint in refused.value.reasons[0]
    with pytest.raises(CertificateProblem):
        choose(OLD, [held()], NOW, thumbprint="xyz")


def test_halves_are_as_equal_as_they_can_be() -> None:
    """The first one is the larger; servers that hold another leaf are in it; an empty half is none."""
    old = OLD.fingerprint
    servers = [server_facts(f"EX0{number}", OLD) for number in range(1, 4)]
    sides = halves(servers, old)
    assert sides is not None
    assert [one.server for one in sides.fresh] == ["EX01", "EX02"]
    assert [one.server for one in sides.old] == ["EX03"]
    most = [servers[0], server_facts("EX02", NEW), server_facts("EX03", NEW), server_facts("EX04", NEW)]
    sides = halves(most, old)
    assert sides is not None
    assert [one.server for one in sides.fresh] == ["EX02", "EX03", "EX04"]
    assert halves(servers[:1], old) is None
    strange = halves([servers[0], server_facts("EX02", leaf_info(7))], old)
    assert strange is not None
    assert [one.server for one in strange.fresh] == ["EX02"]
    bare = servers[0].model_copy(update={"bindings": ()})
    assert halves([bare, servers[1]], old) is not None
    assert NOW + timedelta(days=20) == OLD.not_after


def test_one_certificate_in_two_places_is_one() -> None:
    """On a server and in a file, as after every way back; the place that gives its key counts."""
    stuck = held(exportable=False)
    dropped = Candidate(info=NEW, origin="file", places=("/drop/mail.pfx",))
    for found in ([stuck, dropped], [dropped, stuck]):
        chosen = choose(OLD, found, NOW, thumbprint=None).candidate
        assert (chosen.exportable, set(chosen.places)) == (True, {"EX01", "/drop/mail.pfx"})
        assert choose(OLD, found, NOW, thumbprint=NEW.thumbprint).candidate == chosen
    revoked = held(status="Revoked")
    assert judge(OLD, choose(OLD, [dropped], NOW, thumbprint=None).candidate, NOW).fits
    with pytest.raises(UnsafeChange):
        choose(OLD, [dropped, revoked], NOW, thumbprint=None)
    keyless = held(has_key=False, exportable=False)
    with pytest.raises(UnsafeChange, match="no renewed"):
        choose(OLD, [keyless, keyless], NOW, thumbprint=None)


def test_a_name_that_nobody_here_asks_for_is_a_doubt() -> None:
    """A host is not: without one of those clients would fail."""
    fewer = leaf_info(6, days_left=400, names=("mail.contoso.test",))
    judged = judge(OLD, held(fewer), NOW, ("mail.contoso.test",))
    assert (judged.refused, len(judged.doubts)) == ((), 1)
    assert "autodiscover.contoso.test" in judged.doubts[0]
    assert judge(OLD, held(fewer), NOW, ("mail.contoso.test", "autodiscover.contoso.test")).refused
    hosts = ("mail.contoso.test",)
    named = fewer.thumbprint
    assert choose(OLD, [held(fewer)], NOW, thumbprint=named, force=True, hosts=hosts).candidate.info == fewer


def test_the_one_that_is_served_may_be_named_so_that_the_rest_follows() -> None:
    """Where a rotation got no further than the first balancer; by itself it is no renewal."""
    assert choose(OLD, [held(OLD)], NOW, thumbprint=OLD.thumbprint).fits
    with pytest.raises(UnsafeChange, match="no renewed"):
        choose(OLD, [held(OLD)], NOW, thumbprint=None)
