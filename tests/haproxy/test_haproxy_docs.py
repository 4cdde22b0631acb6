"""The page for administrators names what is there."""

from __future__ import annotations

from lbsync.kit.host import SshSettings
from lbsync_haproxy import HaproxySettings
from tests.balancers.pages import settings_named


def test_the_page_names_every_setting_and_no_other() -> None:
    """The table of settings, and those of ssh."""
    assert settings_named("haproxy.md") == (set(HaproxySettings.model_fields), set(SshSettings.model_fields))
