"""Who gets into WinRM and how, driven by unmodified pywinrm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from requests import ConnectionError as Dropped
from requests_credssp.exceptions import NTStatusException  # type: ignore[import-untyped]  # it has no stubs
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError, WSManFaultError

from lbsync.lab import wsman
from lbsync.lab.farm import LabFarm

Lab = Callable[..., LabFarm]
Remote = Callable[..., Any]


def test_plain_messages_are_refused_in_clear(lab: Lab, remote: Remote) -> None:
    """Over HTTP a message that is not sealed gets nothing: AllowUnencrypted is false."""
    farm = lab(tls_winrm=False)
    with pytest.raises(WinRMTransportError):
        remote(farm, farm.servers["EX01"], message_encryption="never").protocol.open_shell()


def test_a_wrong_certificate_name_is_not_trusted(lab: Lab, remote: Remote, tmp_path: Path) -> None:
    """The listener's certificate chains to the lab's CA only."""
    farm, other = lab(), lab()
    with pytest.raises(Dropped):
        remote(farm, farm.servers["EX01"], ca_trust_path=str(other.directory / "ca.pem")).protocol.open_shell()


def test_channel_bindings_of_another_certificate_are_refused(lab: Lab, remote: Remote, monkeypatch: Any) -> None:
    """A client whose channel binding is of another certificate (someone in the middle) is not let in."""
    from requests_ntlm import HttpNtlmAuth

    farm = lab()

    def other(_auth: object, _response: object) -> bytes:
        return b"tls-server-end-point:" + bytes(32)

    monkeypatch.setattr(HttpNtlmAuth, "_get_server_cert", other)
    with pytest.raises(InvalidCredentialsError):
        remote(farm, farm.servers["EX01"]).protocol.open_shell()
    monkeypatch.undo()
    assert remote(farm, farm.servers["EX01"]).protocol.open_shell()


def test_an_account_without_rights_is_denied(lab: Lab, remote: Remote) -> None:
    """Who is no administrator logs on and gets Access is denied."""
    farm = lab()
    user, password = farm.reader
    protocol = remote(farm, farm.servers["EX01"], username=user, password=password).protocol
    with pytest.raises(WSManFaultError) as denied:
        protocol.open_shell()
    assert denied.value.wsman_fault_code == wsman.ACCESS_DENIED
    protocol.transport.close_session()


def test_wrong_passwords_lock_the_account(lab: Lab, remote: Remote) -> None:
    """After so many wrong passwords the right one is refused too, on every server of the farm."""
    farm = lab(servers=2, lockout_after=3)
    for _ in range(3):
        with pytest.raises(InvalidCredentialsError):
            remote(farm, farm.servers["EX01"], password="wrong").protocol.open_shell()
    assert farm.state.accounts.locked(farm.user)
    with pytest.raises(InvalidCredentialsError):
        remote(farm, farm.servers["EX02"]).protocol.open_shell()
    assert farm.state.accounts.wrong["lbsync"] == 3
    farm.state.accounts.unlock()
    assert remote(farm, farm.servers["EX02"]).run("read-flags", {"locations": [], "pools": []})["ok"]


def test_a_right_password_forgets_the_wrong_ones(lab: Lab, remote: Remote) -> None:
    """A logon that works sets the count of wrong passwords back."""
    farm = lab()
    with pytest.raises(InvalidCredentialsError):
        remote(farm, farm.servers["EX01"], password="wrong").protocol.open_shell()
    protocol = remote(farm, farm.servers["EX01"]).protocol
    protocol.close_shell(protocol.open_shell())
    assert farm.state.accounts.wrong["lbsync"] == 0


def test_basic_works_where_the_spec_allows_it(lab: Lab, remote: Remote) -> None:
    """Basic in clear is for benchmarks only; elsewhere it is challenged for Negotiate."""
    farm = lab(transport="basic", tls_winrm=False)
    client = remote(farm, farm.servers["EX01"], transport="plaintext", message_encryption="never")
    assert client.run("read-flags", {"locations": [], "pools": []})["ok"]
    sealed = lab(tls_winrm=False)
    with pytest.raises(InvalidCredentialsError):
        remote(sealed, sealed.servers["EX01"], transport="plaintext", message_encryption="never").protocol.open_shell()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pywinrm forgets a session whose login failed
@pytest.mark.parametrize("tls", [True, False])
def test_credssp_has_a_second_hop(lab: Lab, remote: Remote, tls: bool) -> None:
    """A CredSSP logon reads the directory without an explicit credential; a wrong password is refused."""
    farm = lab(transport="credssp", tls_winrm=tls)
    server = farm.servers["EX01"]
    client = remote(farm, server, transport="credssp", message_encryption="always")
    exchange = {"server": server.fqdn, "user": None, "password": None}
    assert client.result("farm-facts", {"exchange": exchange, "servers": ["EX01"]})["missing_cmdlets"] == []
    assert len(client.result("server-facts", {})["config"]) > 5000
    assert server.state.winrm.sealed > 0
    with pytest.raises(NTStatusException):
        remote(farm, server, transport="credssp", message_encryption="always", password="no").protocol.open_shell()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pywinrm forgets a session whose login failed
def test_a_client_certificate_logs_on(lab: Lab, remote: Remote) -> None:
    """A certificate of the lab's CA that names the administrator is mapped to it; without one nobody gets in."""
    farm = lab(transport="certificate")
    server = farm.servers["EX01"]
    certificate, key = (str(path) for path in farm.client_certificate)
    client = remote(farm, server, transport="certificate", cert_pem=certificate, cert_key_pem=key)
    assert client.run("read-flags", {"locations": [], "pools": []})["ok"]
    other = lab(transport="certificate")
    foreign, foreign_key = (str(path) for path in other.client_certificate)
    with pytest.raises((Dropped, InvalidCredentialsError)):
        remote(farm, server, transport="certificate", cert_pem=foreign, cert_key_pem=foreign_key).protocol.open_shell()
    plain = lab()
    with pytest.raises(InvalidCredentialsError):
        remote(
            plain, plain.servers["EX01"], transport="certificate", cert_pem=certificate, cert_key_pem=key
        ).protocol.open_shell()
    farm.stop()
    assert not farm.client_certificate[1].exists()


def test_passwords_reach_the_disk_as_hashes_only(lab: Lab) -> None:
    """The acceptor's users file holds NT hashes, is private, and goes with the last farm."""
    farm = lab()
    path = Path(os.environ["NTLM_USER_FILE"])
    content = path.read_text(encoding="ascii")
    assert farm.password not in content
    assert path.stat().st_mode & 0o077 == 0
    farm.stop()
    assert not path.exists()
