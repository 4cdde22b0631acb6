"""Shells, commands and faults of the WinRM listener, driven by unmodified pywinrm."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from requests import ConnectionError as Dropped
from winrm.exceptions import WinRMOperationTimeoutError, WSManFaultError

from lbsync.lab import wsman
from lbsync.lab.farm import LabFarm
from lbsync.lab.faults import Fault

Lab = Callable[..., LabFarm]
Remote = Callable[..., Any]


@pytest.mark.parametrize("tls", [True, False])
def test_a_shell_runs_a_script(lab: Lab, remote: Remote, tls: bool) -> None:
    """Over HTTPS and over HTTP with sealed messages, a script of the package is answered in JSON."""
    farm = lab(tls_winrm=tls)
    server = farm.servers["EX01"]
    result = remote(farm, server).result("read-flags", {"locations": ["Default Web Site/owa"], "pools": []})
    assert result["vdirs"] == [{"location": "Default Web Site/owa", "own": None, "effective": "Ssl, Ssl128"}]
    counters = server.state.winrm
    assert (counters.sealed > 0) is not tls
    assert (counters.plain > 0) is tls
    assert counters.shells_opened == counters.shells_closed == 1
    assert counters.scripts["read-flags.ps1"] == 1


def test_whoami(lab: Lab, remote: Remote) -> None:
    """The few commands a person tries a connection with work, any other is not recognized."""
    farm = lab()
    protocol = remote(farm, farm.servers["EX01"]).protocol
    shell = protocol.open_shell()
    assert protocol.get_command_output(shell, protocol.run_command(shell, "whoami"))[0] == b"contoso\\lbsync\r\n"
    assert protocol.get_command_output(shell, protocol.run_command(shell, "hostname"))[0] == b"EX01\r\n"
    _out, err, code = protocol.get_command_output(shell, protocol.run_command(shell, "dir"))
    assert (code, b"not recognized" in err) == (1, True)
    _out, err, code = protocol.get_command_output(shell, protocol.run_command(shell, "powershell", ["-Command", "1"]))
    assert (code, err.startswith(b"#< CLIXML")) == (1, True)
    protocol.close_shell(shell)


def test_a_command_line_too_long_ends_empty(lab: Lab, remote: Remote) -> None:
    """Through cmd.exe it is told on stderr; without it stdout is empty and the exit code 0."""
    farm = lab()
    protocol = remote(farm, farm.servers["EX01"]).protocol
    shell = protocol.open_shell()
    long = ["-EncodedCommand", "A" * 9000]
    command = protocol.run_command(shell, "powershell", long)
    assert protocol.get_command_output(shell, command) == (b"", b"The command line is too long.\r\n", 1)
    command = protocol.run_command(shell, "powershell", ["-EncodedCommand", "A" * 33000], skip_cmd_shell=True)
    assert protocol.get_command_output(shell, command) == (b"", b"", 0)
    protocol.close_shell(shell)


def test_receive_times_out_while_a_command_works(lab: Lab, remote: Remote) -> None:
    """A command that takes longer than the operation timeout answers fault 2150858793 until it is done."""
    farm = lab(work_s=2.5)
    client = remote(farm, farm.servers["EX01"], operation_timeout_sec=1, read_timeout_sec=20)
    raised: list[BaseException] = []
    raw = client.protocol.get_command_output_raw

    def listen(*arguments: Any) -> Any:
        try:
            return raw(*arguments)
        except WinRMOperationTimeoutError as late:
            raised.append(late)
            raise

    client.protocol.get_command_output_raw = listen
    assert client.result("read-flags", {"locations": [], "pools": []}) == {"vdirs": [], "pools": []}
    assert raised


def test_too_many_shells_is_a_quota_fault(lab: Lab, remote: Remote) -> None:
    """The shell beyond MaxShellsPerUser is refused with 2150859174, and free again after a close."""
    farm = lab(max_shells=2)
    protocol = remote(farm, farm.servers["EX01"]).protocol
    first, _second = protocol.open_shell(), protocol.open_shell()
    with pytest.raises(WSManFaultError) as refused:
        protocol.open_shell()
    assert refused.value.wsman_fault_code == wsman.QUOTA_SHELLS
    protocol.close_shell(first, close_session=False)
    assert protocol.open_shell()
    protocol.transport.close_session()


def test_an_unknown_shell_is_a_fault(lab: Lab, remote: Remote) -> None:
    """A shell that is gone, or another user's, is answered with 2150858843."""
    farm = lab()
    protocol = remote(farm, farm.servers["EX01"]).protocol
    shell = protocol.open_shell()
    protocol.close_shell(shell, close_session=False)
    with pytest.raises(WSManFaultError) as gone:
        protocol.run_command(shell, "whoami")
    assert gone.value.wsman_fault_code == wsman.UNKNOWN_SHELL
    protocol.transport.close_session()


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER])
def test_a_drawn_fault_drops_the_connection(lab: Lab, remote: Remote, fault: Fault) -> None:
    """A dropped connection leaves the request undone, or done without a word."""
    farm = lab()
    server = farm.servers["EX01"]
    server.faults.script(fault)
    with pytest.raises(Dropped):
        remote(farm, server).protocol.open_shell()
    assert server.state.winrm.shells_opened == (1 if fault is Fault.DROP_AFTER else 0)
    assert server.state.winrm.faults == {fault.value: 1}


def test_a_drawn_wsman_fault_does_nothing(lab: Lab, remote: Remote) -> None:
    """A WSMan fault is told with its code and nothing is done."""
    farm = lab()
    server = farm.servers["EX01"]
    server.faults.script(Fault.WSMAN)
    protocol = remote(farm, server).protocol
    with pytest.raises(WSManFaultError) as fault:
        protocol.open_shell()
    assert fault.value.wsman_fault_code == wsman.ABORTED
    assert server.state.winrm.shells_opened == 0
    server.faults.script(Fault.SLOW)
    protocol.close_shell(protocol.open_shell())


def test_several_clients_at_once(lab: Lab, remote: Remote) -> None:
    """Each thread with a session of its own gets its own answers."""
    farm = lab(servers=2)
    names: list[str] = []

    def ask(server: str) -> None:
        names.append(remote(farm, farm.servers[server]).result("server-facts", {})["server"])

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("EX01", "EX02") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == ["EX01"] * 4 + ["EX02"] * 4


def test_what_is_no_wsman_is_refused(lab: Lab) -> None:
    """Another path is not found, a body that is no envelope is a fault, one too large is refused."""
    import requests

    farm = lab(transport="basic", tls_winrm=False)
    server = farm.servers["EX01"]
    base = f"http://{server.address}:{server.winrm_port}"
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (farm.user, farm.password)
        assert session.get(f"{base}/wsman").status_code == 404
        assert session.post(f"{base}/other", data=b"x").status_code == 404
        assert session.post(f"{base}/wsman", data=b"no xml").status_code == 500
        assert session.post(f"{base}/wsman", data=b"<a/>").status_code == 500
        assert session.post(f"{base}/wsman", data=b"x" * 600_000).status_code == 413
        assert session.post(f"{base}/wsman", headers={"Authorization": "Negotiate ?"}, auth=_none).status_code == 401


def _none(request: Any) -> Any:
    return request


def test_latency_is_added_to_each_round_trip(lab: Lab, remote: Remote) -> None:
    """A farm with latency answers no request sooner."""
    farm = lab(latency_s=0.05, tls_winrm=False)
    server = farm.servers["EX01"]
    begun = time.monotonic()
    protocol = remote(farm, server).protocol
    protocol.close_shell(protocol.open_shell())
    assert time.monotonic() - begun >= 0.05 * server.state.winrm.requests


def test_output_longer_than_an_envelope_comes_in_pieces(lab: Lab, remote: Remote) -> None:
    """More output than MaxEnvelopeSize is received piece by piece, whole."""
    farm = lab()
    server = farm.servers["EX01"]
    location = server.state.iis.locations["default web site/owa"]
    location.rewrite_rules = tuple(f"rule {number:05d} {'x' * 60}" for number in range(3000))
    rewrites = remote(farm, server).result("server-facts", {})["rewrites"]
    assert len(rewrites) == 3000
    assert server.state.winrm.actions["Receive"] > 1


def test_a_changed_script_is_not_guessed(lab: Lab, remote: Remote) -> None:
    """A script whose text is none of the package's is answered with an error, never by a model."""
    farm = lab()
    stdout, _err, _code = remote(farm, farm.servers["EX01"]).shell_run("param($p)\n@{ a = 1 }", {})
    assert b"LabUnknownScript" in base64.b64decode(stdout)


def test_input_that_is_no_order_is_an_error(lab: Lab, remote: Remote) -> None:
    """What the bootstrap cannot read is answered as it would."""
    farm = lab()
    protocol = remote(farm, farm.servers["EX01"]).protocol
    shell = protocol.open_shell()
    encoded = base64.b64encode(_bootstrap().encode("utf-16-le")).decode()
    command = protocol.run_command(shell, "powershell.exe", ["-EncodedCommand", encoded], skip_cmd_shell=True)
    protocol.send_command_input(shell, command, b"not base64!", end=True)
    stdout, _err, _code = protocol.get_command_output(shell, command)
    assert b"LbsyncNoInput" in base64.b64decode(stdout)
    protocol.close_shell(shell)


def test_a_signal_ends_a_command(lab: Lab, remote: Remote) -> None:
    """A command that was signalled is gone; one that still works when its shell closes is ended with it."""
    farm = lab(work_s=30.0)
    server = farm.servers["EX01"]
    protocol = remote(farm, server).protocol
    shell = protocol.open_shell()
    commands: list[str] = []
    for _ in range(2):
        boot = base64.b64encode(_bootstrap().encode("utf-16-le")).decode()
        commands.append(protocol.run_command(shell, "powershell.exe", ["-EncodedCommand", boot], skip_cmd_shell=True))
        protocol.send_command_input(shell, commands[-1], b"e30=", end=True)
    protocol.cleanup_command(shell, commands[0])
    with pytest.raises(WSManFaultError) as gone:
        protocol.get_command_output_raw(shell, commands[0])
    assert gone.value.wsman_fault_code == wsman.UNKNOWN_SHELL
    protocol.close_shell(shell)
    assert server.winrm.shells.open == 0


def test_a_mistake_of_a_model_ends_the_command(lab: Lab, remote: Remote) -> None:
    """A model that fails in a way nobody foresaw ends with exit code 1, and nobody waits for ever."""
    farm = lab()
    server = farm.servers["EX01"]
    server.state.iis.pools["broken"] = None  # type: ignore[assignment]  # what no code of ours would do
    stdout, stderr, code = remote(farm, server).shell_run(_text("server-facts"), {})
    assert (stdout, code) == (b"", 1)
    assert b"AttributeError" in stderr


def test_only_the_given_scripts_are_known(lab: Lab, remote: Remote) -> None:
    """A lab with scripts of its own knows those alone, whatever their line ends."""
    mine = _text("read-flags").replace("\n", "\r\n").encode()
    farm = lab(scripts={"bootstrap.ps1": _bootstrap().encode(), "read-flags.ps1": mine})
    client = remote(farm, farm.servers["EX01"])
    assert client.run("read-flags", {"locations": [], "pools": []})["ok"]
    assert client.error("server-facts", {})["fqid"] == "LabUnknownScript"


def _bootstrap() -> str:
    return _text("bootstrap")


def _text(name: str) -> str:
    return files("lbsync").joinpath("exchange", "scripts", f"{name}.ps1").read_text(encoding="utf-8")
