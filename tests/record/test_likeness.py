"""A lab like a recorded farm: what it takes over, and what it says that it cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbsync.cli.rebuilding import MOST, rebuilt
from lbsync.errors import ConfigError
from lbsync.facts import StoredCertificate
from lbsync.lab.build import build
from lbsync.lab.likeness import Likeness
from lbsync.lab.rebuild import version_of
from lbsync.lab.spec import LabSpec
from lbsync.model import Mode
from lbsync.recording import Recording, render, taken
from lbsync.services import FRONT_END_SITE
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, all_modes, balancer_facts, desired, fact_set, leaf_info, server_facts
from lbsync_certs import CertificateInfo

OWA = f"{FRONT_END_SITE}/owa"


def like(*stored: CertificateInfo, leaf: CertificateInfo | None = None) -> Likeness:
    """One server that holds these; its binding stays that of the common leaf."""
    server = server_facts("MX1")
    held = tuple(StoredCertificate(info=info, has_private_key=False, exportable=True) for info in stored)
    server = server.model_copy(update={"certificates": held}) if stored else server
    return Likeness(servers=(server,), farm=fact_set("MX1").farm, taken=NOW, leaf=leaf)


def test_certificates_are_alike_but_new() -> None:
    """Days left, names, key and sharing stay; keys are the lab's own."""
    common = leaf_info()
    ec = leaf_info(2, days_left=-3).model_copy(update={"key_algorithm": "ec", "key_bits": 384, "server_auth": False})
    odd = leaf_info(3).model_copy(update={"key_algorithm": "ed25519", "key_bits": 256, "names": (), "subject": ""})
    own = leaf_info(4).model_copy(update={"self_signed": True, "server_auth": False, "addresses": ("192.0.2.7",)})
    weak = leaf_info(5).model_copy(update={"key_bits": 1024})
    strange = leaf_info(6).model_copy(update={"key_bits": 2047})
    wanted = like(common, ec, odd, own, weak, strange, leaf=leaf_info(7))
    built = build(LabSpec(servers=1, likeness=wanted))
    made = [entry.bundle.info for entry in built.state.servers["MX1"].store.entries.values()]
    now = datetime.now(UTC)
    assert len({one.thumbprint for one in made}) == 7
    assert [(one.key_algorithm, one.key_bits) for one in made] == [
        ("rsa", 2048), ("ec", 384), ("ec", 256), ("rsa", 2048), ("rsa", 1024), ("rsa", 2048), ("rsa", 2048),
    ]  # fmt: skip
    assert abs(made[0].not_after - now - timedelta(days=200)) < timedelta(minutes=5)
    assert made[1].not_after < now
    assert made[0].names == common.names
    assert not made[1].server_auth
    assert made[3].self_signed
    assert built.leaf.info == made[6]
    assert wanted.names_leaf
    told = "\n".join(wanted.unlike)
    for words in (
        "ed25519",
        "no alternative names",
        "no private key",
        "not for servers",
        "came from a file",
        "rsa 2047",
    ):
        assert words in told


def test_a_server_is_alike() -> None:
    """Own flags, inheritance, rights, pools and components as recorded; what cannot be is told."""
    base = server_facts("MX1")
    first, *others = base.vdirs
    custom = first.model_copy(update={"location": f"{OWA}/portal", "services": ()})
    site = first.model_copy(
        update={
            "location": FRONT_END_SITE,
            "services": (),
            "own_ssl_flags": None,
            "ssl_flags": "None",
            "redirect": "/owa",
        }
    )
    first = first.model_copy(update={"own_ssl_flags": "None", "ssl_flags": "None", "pool": "OtherPool"})
    vdirs = (site, first, *[one for one in others if not one.location.endswith("mapi")], custom)
    other = base.bindings[0].model_copy(update={"site": "Portal"})
    server = base.model_copy(
        update={
            "vdirs": vdirs,
            "administrator": False,
            "problems": ("odd",),
            "bindings": (base.bindings[0], other),
            "live": base.live.model_copy(update={"pools": {"MSExchangeOWAAppPool": "Stopped", "Own": "Started"}}),
        }
    )
    wanted = Likeness(servers=(server,), farm=fact_set("MX9").farm, taken=NOW)
    built = build(LabSpec(servers=1, likeness=wanted))
    state = built.state.servers["MX1"]
    assert state.iis.own_values()[OWA] == "None"
    assert state.iis.root_ssl_flags == "None"
    assert f"{FRONT_END_SITE}/mapi".lower() not in state.iis.locations
    assert f"{OWA}/auth".lower() in state.iis.locations
    assert state.iis.pool_state("MSExchangeOWAAppPool") == "Stopped"
    assert state.iis.bound is not None
    assert not state.administrator
    assert state.exsetup_version == "15.02.0986.029"
    told = "\n".join(wanted.unlike)
    for words in ("portal is not here", "OtherPool", "site Portal", "on 443 of all", "odd", "Outlook Anywhere was not known",
                  "whether MRSProxy is enabled"):  # fmt: skip
        assert words in told


def test_a_server_without_certificates_serves_one() -> None:
    """Else nothing would answer on 443."""
    server = server_facts("MX1").model_copy(update={"certificates": ()})
    built = build(LabSpec(servers=1, likeness=Likeness(servers=(server,), farm=fact_set("MX1").farm, taken=NOW)))
    assert built.leaf.info.names == ("mx1.contoso.test",)


@pytest.mark.parametrize(
    ("version", "kind"),
    [("15.0.516.32", "2013rtm"), ("15.0.1497.2", "2013"), ("15.1.2507.6", "2016"), ("15.2.2562.17", "2019")],
)
def test_versions_have_their_set_up(version: str, kind: str) -> None:
    """SE is laid out as 2019 is."""
    assert version_of(version) == kind


def write(path: Path, recording: Recording) -> Path:
    """As a file."""
    path.write_text(render(recording), encoding="utf-8")
    return path


def test_a_recording_becomes_a_lab(tmp_path: Path) -> None:
    """Its modes and limits go into the configuration, its balancer is chosen, and what is not alike is told."""
    balancer = balancer_facts("edge", modes=all_modes(Mode.BRIDGE)).model_copy(
        update={"provider": "nginx", "marker": "run", "blockers": ("foreign bind",), "problems": ("old",)}
    )
    names = tuple(f"EX{number:02d}" for number in range(1, 15))
    facts = fact_set(*names, balancers=(balancer, balancer_facts("second")))
    wish = desired(leaf=None, leaf_problem="they differ", outlook_anywhere={"external_hostname": "oa.contoso.test"})
    file = write(tmp_path / "a.json", taken(wish, facts, {"edge": Capabilities()}, NOW, version="1"))
    again = rebuilt(file, None, None, None)
    assert (again.spec.servers, again.balancer, again.proxy) == (MOST, "nginx", "http")
    assert again.options.get("modes", {})["ews"] == "offload"
    assert again.options.get("outlook_anywhere") == {"external_hostname": "oa.contoso.test"}
    told = "\n".join(again.unlike_with("haproxy"))
    for words in (
        "another one: haproxy",
        "12 of 14",
        "of 2",
        "mark of a run",
        "foreign bind",
        "old",
        "they differ",
        "is not here",
    ):
        assert words in told
    assert "another one" not in "\n".join(again.unlike_with("nginx"))
    assert rebuilt(file, 2, "bigip", None).spec.servers == 2
    with pytest.raises(ConfigError, match="has 14 server"):
        rebuilt(file, 15, None, None)


def test_a_recording_without_a_known_balancer(tmp_path: Path) -> None:
    """The machine decides what stands in front."""
    for number, balancers in enumerate(((), (balancer_facts(),))):
        file = write(tmp_path / f"{number}.json", taken(desired(), fact_set(balancers=balancers), {}, NOW, version="1"))
        again = rebuilt(file, None, None, None)
        assert (again.balancer, again.recorded, again.proxy) == (None, None, None)
        assert "Not" not in again.options.get("exchange", "")
