"""Secret references: each way to keep one, and what is said where it is not there."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import keyring
import keyring.backend
import keyring.errors
import pytest

from lbsync.errors import SecretError
from lbsync.secrets import resolve

VALUE = "s3cret-value"


def refused(reference: str, base: Path, environ: dict[str, str] | None = None) -> SecretError:
    """The error of a reference that does not resolve; it names the reference and shows no value."""
    with pytest.raises(SecretError) as caught:
        resolve(reference, base=base, environ=environ)
    assert VALUE not in str(caught.value)
    assert caught.value.remedy
    return caught.value


def test_environment(tmp_path: Path) -> None:
    """A variable that is set; what comes back does not show itself."""
    secret = resolve("env:PW", base=tmp_path, environ={"PW": VALUE})
    assert secret.get_secret_value() == VALUE
    assert VALUE not in repr(secret)


def test_the_own_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without further words the variables of this process count."""
    monkeypatch.setenv("LBSYNC_TEST_PW", VALUE)
    assert resolve("env:LBSYNC_TEST_PW", base=tmp_path).get_secret_value() == VALUE


def test_missing_and_empty_variables(tmp_path: Path) -> None:
    """Absent and empty are two different mistakes."""
    assert "not set" in refused("env:PW", tmp_path, {}).message
    error = refused("env:PW", tmp_path, {"PW": ""})
    assert "empty" in error.message
    assert error.where == "env:PW"


def test_file(tmp_path: Path) -> None:
    """One newline at the end belongs to the editor, not to the secret; a relative path starts from the base."""
    file = tmp_path / "pw"
    file.write_text(f" {VALUE}\n\n")
    file.chmod(0o600)
    assert resolve("file:pw", base=tmp_path).get_secret_value() == f" {VALUE}\n"
    assert resolve(f"file:{file}", base=Path("/")).get_secret_value() == f" {VALUE}\n"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_file_open_to_everybody_is_refused(tmp_path: Path, mode: int) -> None:
    """A secret others can read is none."""
    file = tmp_path / "pw"
    file.write_text(VALUE)
    file.chmod(mode)
    error = refused("file:pw", tmp_path)
    assert f"{mode:04o}" in error.message
    assert "chmod 600" in error.remedy


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Absent, a folder, or no text."""
    assert "No such file" in refused("file:pw", tmp_path).message
    assert "cannot be read" in refused("file:.", tmp_path).message
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00")
    file.chmod(0o600)
    assert "UTF-8" in refused("file:binary", tmp_path).message


class _Ring(keyring.backend.KeyringBackend):
    """A keyring in memory, locked on request."""

    priority = 1  # pyright: ignore[reportAssignmentType]  # a class property in keyring's own annotation

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise keyring.errors.KeyringLocked("it holds " + VALUE)
        return VALUE if (service, username) == ("lbsync", "CONTOSO\\svc") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Never asked for here."""
        raise keyring.errors.PasswordSetError


@pytest.fixture
def ring() -> Iterator[None]:
    """The keyring in memory takes the system's place."""
    before = keyring.get_keyring()
    keyring.set_keyring(_Ring())  # type: ignore[no-untyped-call]  # keyring types its base class by halves
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("ring")
def test_keyring(tmp_path: Path) -> None:
    """An entry, no entry, and a keyring that is locked."""
    assert resolve("keyring:lbsync/CONTOSO\\svc", base=tmp_path).get_secret_value() == VALUE
    assert "no such entry" in refused("keyring:lbsync/other", tmp_path).message
    assert "KeyringLocked" in refused("keyring:locked/x", tmp_path).message


class _Vault(BaseHTTPRequestHandler):
    """As much of Vault as reading a key-value secret takes: version 2 below kv/, version 1 below old/."""

    answers: ClassVar = {
        "/v1/sys/internal/ui/mounts/kv/ex/winrm": {"data": {"path": "kv/", "options": {"version": "2"}}},
        "/v1/kv/data/ex/winrm": {"data": {"data": {"password": VALUE}, "metadata": {"version": 3}}},
        "/v1/sys/internal/ui/mounts/old/ex": {"data": {"path": "old/", "options": None}},
        "/v1/old/ex": {"data": {"password": VALUE}},
        "/v1/sys/internal/ui/mounts/old/none": {"data": {"path": "old/", "options": None}},
    }

    def do_GET(self) -> None:
        good = self.headers["X-Vault-Token"] == "t0ken"
        answer = self.answers.get(self.path)
        self.send_response(403 if not good else 200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        body = answer if good and answer else {"errors": [f"denied {VALUE}"] if not good else []}
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """A test prints nothing."""


@contextmanager
def vault(token: str) -> Generator[dict[str, str]]:
    """A Vault on loopback and the environment that points there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Vault)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield {"VAULT_ADDR": f"http://127.0.0.1:{server.server_address[1]}", "VAULT_TOKEN": token}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_vault_reads_both_versions(tmp_path: Path) -> None:
    """Paths are written as `vault kv get` takes them, whichever version the mount has."""
    with vault("t0ken") as environ:
        for reference in ("vault:kv/ex/winrm#password", "vault:old/ex#password"):
            assert resolve(reference, base=tmp_path, environ=environ).get_secret_value() == VALUE
        assert "no such field" in refused("vault:kv/ex/winrm#user", tmp_path, environ).message
        assert "nothing there" in refused("vault:old/none#password", tmp_path, environ).message


def test_a_vault_that_refuses_or_is_away(tmp_path: Path) -> None:
    """The kind of failure is told, the server's text is not."""
    with vault("wrong") as environ:
        assert "Forbidden" in refused("vault:kv/ex/winrm#password", tmp_path, environ).message
    assert "ConnectionError" in refused("vault:kv/ex/winrm#password", tmp_path, environ).message


def test_vault_over_the_network_is_tls(tmp_path: Path) -> None:
    """Token and secret never travel in clear; both variables are needed."""
    away = {"VAULT_ADDR": "http://vault.contoso.com:8200", "VAULT_TOKEN": "t0ken"}
    assert "not https" in refused("vault:kv/x#y", tmp_path, away).message
    assert "not both set" in refused("vault:kv/x#y", tmp_path, {"VAULT_ADDR": "https://v"}).message


@pytest.mark.parametrize(("package", "reference"), [("keyring", "keyring:a/b"), ("hvac", "vault:a#b")])
def test_an_optional_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, reference: str
) -> None:
    """What pip would have to install is said."""
    monkeypatch.setitem(sys.modules, package, None)
    error = refused(reference, tmp_path, {"VAULT_ADDR": "https://vault.test", "VAULT_TOKEN": "t"})
    assert error.remedy == f"pip install 'lbsync[{package.replace('hvac', 'vault')}]'"


def test_an_unknown_way_is_no_reference(tmp_path: Path) -> None:
    """What is not one of the four could be the secret itself: it is not repeated."""
    assert VALUE not in refused(VALUE, tmp_path).where
