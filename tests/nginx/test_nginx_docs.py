"""The page for administrators names what is there."""

from __future__ import annotations

from typing import get_args

from lbsync.kit.host import SshSettings
from lbsync_nginx import NginxSettings
from tests.balancers.pages import DOCS, settings_named


def test_the_page_names_every_setting_and_no_other() -> None:
    """The table of settings, and those of ssh."""
    assert settings_named("nginx.md") == (set(NginxSettings.model_fields), set(SshSettings.model_fields))


def test_the_page_tells_every_way_with_ntlm() -> None:
    """Both ways of proxying, and each value of the setting."""
    text = (DOCS / "nginx.md").read_text(encoding="utf-8")
    for field in ("proxy", "ntlm"):
        for value in get_args(NginxSettings.model_fields[field].annotation):
            assert f'"{value}"' in text
