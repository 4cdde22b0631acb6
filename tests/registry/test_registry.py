"""Providers by entry point: real distributions on sys.path, whole and broken."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from lbsync.errors import ConfigError
from lbsync.registry import installed, plugin

GOOD = '''
from contextlib import contextmanager
from pydantic import BaseModel
from lbsync.target import Plugin

class Settings(BaseModel):
    """None."""

@contextmanager
def connect(spec, settings):
    yield None

plugin = Plugin("third", Settings, connect)
'''


def distribution(folder: Path, name: str, module: str, source: str, point: str) -> None:
    """Lay a package out as pip leaves it."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[lbsync.providers]\n{point} = {module}:plugin\n")
    importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports packages from."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_third_partys_provider_is_found_and_loaded(site: Path) -> None:
    """A package with the entry point is all it takes."""
    distribution(site, "acme-third", "acme_third_good", GOOD, "third")
    assert ("third", "acme-third", "1.2") in [(one.name, one.distribution, one.version) for one in installed()]
    assert plugin("third").name == "third"


def test_listing_imports_nothing(site: Path) -> None:
    """A provider that nobody uses may be as broken as it likes."""
    distribution(site, "acme-broken", "acme_broken_listed", "raise RuntimeError('boom')", "listed")
    distribution(site, "acme-third", "acme_third_beside", GOOD, "beside")
    assert "listed" in {one.name for one in installed()}
    assert plugin("beside").name == "third"
    assert "acme_broken_listed" not in sys.modules


def test_a_broken_provider_names_itself(site: Path) -> None:
    """Package, version and the exception, so that the right people are told."""
    distribution(site, "acme-broken", "acme_broken_loaded", "raise RuntimeError('boom')", "loaded")
    with pytest.raises(ConfigError, match="RuntimeError: boom") as caught:
        plugin("loaded")
    assert caught.value.where == "provider loaded (acme-broken 1.2)"


def test_an_entry_point_that_is_no_plugin_is_refused(site: Path) -> None:
    """Nothing is guessed from what is there instead."""
    distribution(site, "acme-odd", "acme_odd", "plugin = object()", "odd")
    with pytest.raises(ConfigError, match="not a lbsync"):
        plugin("odd")


def test_an_unknown_name_lists_what_is_there(site: Path) -> None:
    """A typing mistake is answered with the choices."""
    distribution(site, "acme-third", "acme_third_choice", GOOD, "choice")
    with pytest.raises(ConfigError, match='called "chioce"') as caught:
        plugin("chioce")
    assert "choice" in caught.value.remedy


def test_two_packages_with_one_name_are_both_named(site: Path) -> None:
    """Which of the two would be meant, nobody could say."""
    distribution(site, "acme-a", "acme_a", GOOD, "same")
    distribution(site, "acme-b", "acme_b", GOOD, "same")
    with pytest.raises(ConfigError, match="acme-a and acme-b"):
        plugin("same")
