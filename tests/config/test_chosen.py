"""Modes on the command line: what the words mean, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest

from lbsync.config.chosen import chosen_modes, differing, listed
from lbsync.errors import ConfigError
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.testing.farm_facts import all_modes

EIGHT_BRIDGED = {service: Mode.BRIDGE for service in Service if service is not Service.MRSPROXY}


@pytest.mark.parametrize(
    ("words", "modes"),
    [
        ([], {}),
        (["ews=bridge"], {Service.EWS: Mode.BRIDGE}),
        (["ews=bridge", "owa=offload"], {Service.EWS: Mode.BRIDGE, Service.OWA: Mode.OFFLOAD}),
        (["all=bridge"], EIGHT_BRIDGED),
        (["all=bridge", "ews=offload"], EIGHT_BRIDGED | {Service.EWS: Mode.OFFLOAD}),
        (["ews=offload", "all=bridge"], EIGHT_BRIDGED | {Service.EWS: Mode.OFFLOAD}),
        (["mrsproxy=offload"], {Service.MRSPROXY: Mode.OFFLOAD}),
    ],
)
def test_services_and_their_modes(words: list[str], modes: dict[Service, Mode]) -> None:
    """One by one, or all that may be offloaded at once; who is named comes first. The adviser refuses, not this."""
    assert chosen_modes(words) == modes


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["ews"], "this is not SERVICE=MODE", "ews"),
        (["esw=bridge"], "there is no service 'esw'", 'did you mean "ews"?'),
        (["EWS=bridge"], "there is no service 'EWS'", 'did you mean "ews"?'),
        (["ews="], "there is no mode ''", "give one of: offload, bridge"),
        (["ews=Bridge"], "there is no mode 'Bridge'", "give one of: offload, bridge"),
        (["all=bridge", "all=offload"], "all is given twice", "give each service once"),
    ],
)
def test_what_means_nothing_is_refused(words: list[str], message: str, remedy: str) -> None:
    """The word is named, with what may be written instead."""
    with pytest.raises(ConfigError, match=message) as caught:
        chosen_modes(words)
    assert remedy in caught.value.remedy
    assert caught.value.where == f"--mode {words[-1]}"


def test_only_what_the_configuration_says_otherwise_is_told() -> None:
    """In the words it has for it."""
    chosen = {Service.EWS: Mode.BRIDGE, Service.OWA: Mode.OFFLOAD, Service.MRSPROXY: Mode.BRIDGE}
    other = differing(all_modes(Mode.OFFLOAD), chosen)
    assert listed(other) == 'ews = "bridge"'
    assert listed(differing(all_modes(Mode.BRIDGE), chosen)) == 'owa = "offload"'
