"""``lbsync serve-user``: the file of users from the command line, and no secret on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lbsync.cli.app import app
from lbsync.service.auth.users import fits, load
from lbsync.service.values import Role
from tests.service.client import PASSWORD


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file."""
    return tmp_path / "users.toml"


def _call(path: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["serve-user", *words, "--users", str(path)], input=typed)


def test_users_come_and_go(path: Path) -> None:
    """A password from stdin, a token that is shown once, a role that changes, a list without secrets."""
    assert _call(path, "add", "anna", "--role", "viewer", typed=PASSWORD + "\n").exit_code == 0
    assert fits(load(path)["anna"], PASSWORD)
    token = _call(path, "add", "anna", "--role", "approver", "--token").stdout.strip()
    anna = load(path)["anna"]
    assert anna.role is Role.APPROVER
    assert fits(anna, PASSWORD)
    assert len(token) == 43
    assert token not in path.read_text(encoding="utf-8")
    listed = _call(path, "list")
    assert listed.stdout == "anna  approver  by password and token\n"
    assert '"role": "approver"' in _call(path, "list", "--json").stdout
    assert _call(path, "remove", "anna").exit_code == 0
    assert load(path) == {}


@pytest.mark.parametrize(
    ("words", "typed", "told"),
    [
        (["add", "anna", "--role", "viewer"], "short\n", "12 to 256"),
        (["add", "an na", "--role", "viewer"], PASSWORD, "no name"),
        (["remove", "otto"], "", "no such user"),
    ],
)
def test_what_does_not_fit(path: Path, words: list[str], typed: str, told: str) -> None:
    """Told, and nothing is written."""
    result = _call(path, *words, typed=typed)
    assert result.exit_code == 1
    assert told in result.stderr
    assert not path.exists()


def test_the_file_is_that_of_the_configuration(tmp_path: Path) -> None:
    """Without one named: that is told, with what to write."""
    result = CliRunner().invoke(app, ["serve-user", "list", "--config", str(tmp_path / "none.toml")])
    assert result.exit_code == 1
    assert "no configuration file" in result.stderr
