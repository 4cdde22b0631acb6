"""Other modes in a configuration file: what the file looks like after, byte for byte, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbsync.config import load, modes
from lbsync.config.rewrite import changed_lines, proven, with_modes
from lbsync.errors import ConfigError
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from tests.config.test_config_load import GOOD

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"
EIGHT = {service: Mode.BRIDGE for service, spec in SERVICES.items() if spec.offloadable}
EWS = {Service.EWS: Mode.BRIDGE}
AFTER_MODES = "\n# how careful\n[limits]  # seconds\nparallel = 8\n"


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ('[modes]\news = "offload"  # why\n', EWS, '[modes]\news = "bridge"  # why\n'),
        ('[modes]\ndefault = "offload"   # all\n', EIGHT, '[modes]\ndefault = "bridge"   # all\n'),
        ('[modes]\ndefault = "offload"\n# owa\n', EWS, '[modes]\ndefault = "offload"\news = "bridge"\n# owa\n'),
        ("[modes] # here\n", {Service.EWS: Mode.OFFLOAD}, '[modes] # here\news = "offload"\n'),
        (
            '[modes]\ndefault = "offload"\nowa = "offload"\n',
            {Service.OWA: Mode.BRIDGE},
            '[modes]\ndefault = "offload"\nowa = "bridge"\n',
        ),
        (
            '[modes]\ndefault = "offload"\nowa = "offload"\necp = "offload"\n',
            EIGHT,
            '[modes]\ndefault = "bridge"\nowa = "bridge"\necp = "bridge"\n',
        ),
        ("", {Service.EWS: Mode.OFFLOAD}, '\n[modes]\news = "offload"\n'),
        ('[modes]\nmrsproxy = "offload"\n', {Service.MRSPROXY: Mode.BRIDGE}, '[modes]\nmrsproxy = "bridge"\n'),
        ('modes = { default = "offload" } # one line\n', EIGHT, 'modes = { default = "bridge" } # one line\n'),
        ('modes.default = "offload"\n', EWS, 'modes.default = "offload"\nmodes.ews = "bridge"\n'),
        ("", {}, ""),
    ],
)
def test_only_the_modes_change(before: str, wanted: dict[Service, Mode], after: str) -> None:
    """Comments stay, and what is said once for all is said once for all again."""
    top = before.startswith("modes")
    frame = f"version = 1\n{{}}{GOOD.removeprefix('version = 1')[1:]}" if top else GOOD + "{}" + AFTER_MODES
    if not before and wanted:
        frame = GOOD + "[limits]\n{}"
    if not wanted:
        before = after = "[modes]\n"
    new = with_modes(frame.format(before).encode(), wanted).decode()
    assert new == frame.format(after)
    told = modes(load(new).config.modes)
    assert {service: told[service] for service in wanted} == wanted


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_example_keeps_every_other_byte(mark: str, newline: str) -> None:
    """Also as Windows writes it: its line ends, and the mark in front."""
    text = mark + EXAMPLE.read_text(encoding="utf-8").replace("\n", newline)
    new = with_modes(text.encode(), {Service.MAPI: Mode.OFFLOAD}).decode()
    assert changed_lines(text, new) == ('+mapi = "offload"',)
    assert new.count("\n") == new.count(newline)
    assert new.startswith(mark)
    assert with_modes(new.encode(), {Service.MAPI: Mode.OFFLOAD}).decode() == new


def test_a_last_line_without_an_end() -> None:
    """It stays the line it is."""
    new = with_modes(GOOD.strip().encode(), EWS).decode()
    assert new.startswith(GOOD.strip())
    assert modes(load(new).config.modes)[Service.EWS] is Mode.BRIDGE


@pytest.mark.parametrize(
    "after",
    [
        GOOD,
        GOOD + '[modes]\news = "offload"\nowa = "offload"\n',
        GOOD.replace("mail.contoso.com", "web.contoso.com") + '[modes]\news = "offload"\n',
        GOOD.replace("version = 1\n", "version = 1 # one\n") + '[modes]\news = "offload"\n',
    ],
)
def test_what_does_not_come_out_as_meant_is_refused(after: str) -> None:
    """Another mode, another value, another comment: nothing is written, and the lines to write are told."""
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        proven(GOOD, after, {Service.EWS: Mode.OFFLOAD}, file="f.toml")
    assert caught.value.where == "f.toml"
    assert caught.value.remedy.endswith('[modes] yourself: ews = "offload"')
