"""What every balancer lowers alike, told with a balancer that switches nothing."""

from __future__ import annotations

import pytest

from lbsync.changes import (
    Drain,
    InstallCertificate,
    Mark,
    Publish,
    RemoveCertificate,
    RequireSsl,
    SwitchCertificate,
    SwitchMode,
    Undrain,
    UninstallCertificate,
)
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts
from lbsync.kit.lowering import BalancerLowering
from lbsync.model import Mode, Step
from lbsync.services import Service
from lbsync.target import BalancerSpec, Member
from lbsync_certs import Fingerprint, Thumbprint

LEAF = Fingerprint("a" * 64)
SPEC = BalancerSpec(
    name="lb1",
    hosts=("mail.contoso.test",),
    members=(Member(name="EX01", address="10.0.0.11", tls_name="ex01.contoso.test"),),
    services=(Service.OWA, Service.MRSPROXY),
    server_ca_pem="",
)


class Plain(BalancerLowering):
    """Steps of its own are none."""

    def publish(self, change: Publish, seen: BalancerFacts) -> tuple[Step, ...]:
        """None."""
        return ()

    def switch_certificate(self, change: SwitchCertificate, seen: BalancerFacts) -> tuple[Step, ...]:
        """None."""
        return ()

    def switch_mode(self, change: SwitchMode, seen: BalancerFacts) -> tuple[Step, ...]:
        """None."""
        return ()


REQUESTS = Plain(SPEC, marker="/etc/x/run-marker")
CONNECTIONS = Plain(SPEC, marker="/etc/x/run-marker", traffic="connection")


def facts(**changes: object) -> BalancerFacts:
    """Facts of a balancer without anything of ours."""
    return BalancerFacts.model_validate({"balancer": "lb1", "provider": "plain", **changes})


def test_a_certificate_folder_that_was_there_stays() -> None:
    """The undo removes what the step made, and no more."""
    for there in (False, True):
        (step,) = REQUESTS.lower(InstallCertificate(leaf=LEAF), facts(image={"certs_directory": there}))
        assert step.undo is not None
        assert step.undo.args == {"leaf": LEAF, "keep_directory": there}
    assert REQUESTS.lower(InstallCertificate(leaf=LEAF), facts(installed=(LEAF,))) == ()


def test_a_removed_certificate_has_no_way_back() -> None:
    """Only where it is there; it is proven gone, and the folder stays for the one that is served."""
    (step,) = REQUESTS.lower(UninstallCertificate(leaf=LEAF), facts(installed=(LEAF,)))
    assert (step.sign, step.undo, step.undo_until) == ("-", None, ())
    assert step.do is not None
    assert (step.do.verb, step.do.args) == ("remove-certificate", {"leaf": LEAF, "keep_directory": True})
    assert [(check.verb, check.args) for check in step.until] == [("certificate-gone", {"leaf": LEAF})]
    assert REQUESTS.lower(UninstallCertificate(leaf=LEAF), facts()) == ()
    with pytest.raises(TypeError, match="remove-certificate"):
        REQUESTS.lower(RemoveCertificate(leaf=LEAF, thumbprint=Thumbprint("A" * 40)), facts())


def test_a_drained_server_has_requests_or_connections() -> None:
    """The words are those of what the balancer sees; the steps are the same."""
    for lowering, word in ((REQUESTS, "request"), (CONNECTIONS, "connection")):
        drain, cut = lowering.lower(Drain(server="EX01", timeout_s=9, on_timeout="cut"), facts())
        assert drain.summary == "send nothing new to EX01"
        assert cut.summary == f"wait up to 9 s for the {word}s at EX01, then cut what is left"
        assert cut.until[0].summary == f"no {word} is at EX01 any more"
        (undrain,) = lowering.lower(Undrain(server="EX01", timeout_s=9, on_timeout="stop"), facts())
        assert undrain.summary == f"let {word}s to EX01 again"


def test_a_marker_goes_the_way_it_came() -> None:
    """Leaving and removing are each other's undo."""
    (leave,) = REQUESTS.lower(Mark(marker="mine", present=True), facts())
    (remove,) = REQUESTS.lower(Mark(marker="mine", present=False), facts())
    assert (leave.do, leave.undo) == (remove.undo, remove.do)
    assert leave.summary == "leave the run marker /etc/x/run-marker"


def test_what_cannot_be_never_reaches_a_provider() -> None:
    """MRSProxy in clear, a service that is not published, another target's change."""
    impossible = {Service.MRSPROXY: Mode.OFFLOAD}
    with pytest.raises(UnsupportedMode, match="over TLS only"):
        REQUESTS.lower(Publish(leaf=LEAF, modes=impossible), facts())
    with pytest.raises(UnsupportedMode, match="over TLS only"):
        REQUESTS.lower(SwitchMode(services=tuple(impossible), before=Mode.BRIDGE, after=Mode.OFFLOAD), facts())
    with pytest.raises(UnsupportedMode, match="not published"):
        REQUESTS.lower(SwitchMode(services=(Service.EWS,), before=Mode.BRIDGE, after=Mode.OFFLOAD), facts())
    with pytest.raises(TypeError):
        REQUESTS.lower(RequireSsl(changes=()), facts())
    assert REQUESTS.lower(Publish(leaf=LEAF, modes={}), facts()) == ()
    assert REQUESTS.lower(SwitchCertificate(before=LEAF, after=LEAF), facts()) == ()
