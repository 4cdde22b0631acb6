"""Sessions against simulated servers: what they cost, how they end, and what a rejected login stops."""

from __future__ import annotations

import base64
import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lbsync.errors import Denied, LbsyncError, Rejected, Unreachable
from lbsync.exchange.scripts import ScriptName, text
from lbsync.exchange.session import LoginGate, SessionPool, SessionSettings
from lbsync.lab.farm import LabFarm
from lbsync.lab.faults import Fault

Lab = Callable[..., LabFarm]
Pool = Callable[..., SessionPool]

FLAGS: dict[str, object] = {"locations": ["Default Web Site/owa"], "pools": []}


def spent(farm: LabFarm, name: str = "EX01") -> int:
    """HTTP requests a server has had so far."""
    return farm.servers[name].state.winrm.requests


def no_shell_left(farm: LabFarm) -> bool:
    """Every shell that was opened was closed."""
    return all(
        server.state.winrm.shells_opened == server.state.winrm.shells_closed and server.winrm.shells.open == 0
        for server in farm.servers.values()
    )


def hang_up(farm: LabFarm) -> None:
    """Close every connection at the server's end, as an idle time-out does."""

    async def abort() -> None:
        for server in farm.servers.values():
            for writer in list(server.winrm.http._writers):  # pyright: ignore[reportPrivateUsage]
                writer.transport.abort()

    farm._management.run(abort())  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("fields", "knobs", "most"),
    [
        ({"transport": "ntlm"}, {"tls_winrm": True}, 9),
        ({"transport": "ntlm"}, {"tls_winrm": False}, 9),
        ({"transport": "basic"}, {"tls_winrm": True}, 5),
    ],
    ids=["ntlm over https", "ntlm sealed", "basic over https"],
)
def test_facts_of_a_server_cost_few_requests(
    lab: Lab, pool: Pool, fields: dict[str, str], knobs: dict[str, bool], most: int
) -> None:
    """One shell, one command: at most nine requests with NTLM, five without, the login included."""
    farm = lab(**knobs)
    answer = pool(farm, **fields).call("server-facts", {})
    assert answer["server"] == "EX01"
    assert spent(farm) <= most
    counters = farm.servers["EX01"].state.winrm
    assert counters.actions == {"Create": 1, "Command": 1, "Send": 1, "Receive": 1, "Delete": 1}
    assert no_shell_left(farm)


@pytest.mark.parametrize("tls", [True, False])
def test_the_second_call_needs_no_login(lab: Lab, pool: Pool, tls: bool) -> None:
    """The connection stays with its thread: a second call costs its five messages and nothing else."""
    farm = lab(tls_winrm=tls)
    session = pool(farm)
    session.call("read-flags", FLAGS)
    before = spent(farm)
    session.call("read-flags", FLAGS)
    assert spent(farm) - before == 5


def test_messages_are_sealed_without_tls(lab: Lab, pool: Pool) -> None:
    """Over http every message is encrypted by NTLM."""
    farm = lab(tls_winrm=False)
    pool(farm).call("read-flags", FLAGS)
    counters = farm.servers["EX01"].state.winrm
    assert (counters.plain, counters.sealed) == (0, 5)


def test_several_scripts_in_one_shell(lab: Lab, pool: Pool) -> None:
    """Read and change in one shell: one Create, one Delete, and each command let go before the next."""
    farm = lab()
    with pool(farm).shell() as shell:
        shell.run("read-flags", FLAGS)
        shell.run("read-flags", FLAGS)
    actions = farm.servers["EX01"].state.winrm.actions
    assert (actions["Create"], actions["Command"], actions["Signal"], actions["Delete"]) == (1, 2, 1, 1)


def test_the_command_line_is_constant_and_bare(lab: Lab, pool: Pool) -> None:
    """Neither script nor parameters nor secret stand on the command line: it is the bootstrap, always the same."""
    farm = lab()
    session = pool(farm)
    session.call("read-flags", FLAGS)
    session.call("server-facts", {})
    lines = set(farm.servers["EX01"].state.winrm.command_lines)
    encoded = base64.b64encode(text("bootstrap").encode("utf-16-le")).decode()
    assert len(lines) == 1
    assert lines.pop().split()[-2:] == ["-EncodedCommand", encoded]


def test_a_large_input_goes_in_pieces(lab: Lab, pool: Pool) -> None:
    """Input beyond 32 KiB is sent in several pieces and arrives whole."""
    farm = lab()
    locations = ["Default Web Site/owa"] * 3000
    answer = pool(farm).call("read-flags", {"locations": locations, "pools": []})
    assert len(answer["vdirs"]) == 3000  # type: ignore[arg-type]
    assert farm.servers["EX01"].state.winrm.actions["Send"] > 1
    assert farm.servers["EX01"].state.winrm.actions["Receive"] > 1


@pytest.mark.parametrize("tls", [True, False])
def test_a_wrong_password_is_asked_about_once(lab: Lab, pool: Pool, tls: bool) -> None:
    """Twenty threads on four servers: one rejected login, and every call raises Denied without asking again."""
    farm = lab(servers=4, tls_winrm=tls)
    gate = LoginGate()
    pools = [pool(farm, name, gate=gate, password=lambda: "not the password") for name in farm.servers]
    start = threading.Barrier(20, timeout=20)

    def one(number: int) -> LbsyncError | None:
        start.wait()
        try:
            pools[number % 4].call("server-facts", {}, retry=True)
        except LbsyncError as error:
            return error
        return None

    with ThreadPoolExecutor(20) as threads:
        errors = list(threads.map(one, range(20)))
    assert {type(error) for error in errors} == {Denied}
    assert sum(server.state.winrm.rejected_logons for server in farm.servers.values()) == 1
    asked = sum(spent(farm, name) for name in farm.servers)
    with pytest.raises(Denied, match="not tried again"):
        pools[0].prove()
    assert sum(spent(farm, name) for name in farm.servers) == asked


def test_an_account_without_rights_shuts_nothing(lab: Lab, pool: Pool) -> None:
    """Access denied is about a server, not the password: Denied with its code, and the gate stays open."""
    farm = lab()
    user, password = farm.reader
    session = pool(farm, user=user, password=lambda: password)
    with pytest.raises(Denied) as caught:
        session.call("server-facts", {}, retry=True)
    assert caught.value.code == "5"
    assert "administrator" in caught.value.remedy
    session.gate.check()


def test_one_login_is_proven_before_the_rest(lab: Lab, pool: Pool) -> None:
    """Proving logs in, opens a shell and closes it; nothing is run."""
    farm = lab()
    session = pool(farm)
    session.prove()
    assert session.gate.proven
    assert farm.servers["EX01"].state.winrm.actions == {"Create": 1, "Delete": 1}


@pytest.mark.parametrize("tls", [True, False])
def test_a_connection_dropped_while_idle_is_opened_again(lab: Lab, pool: Pool, tls: bool) -> None:
    """A keep-alive connection that is gone costs one new login; under sealing it first looks like a rejected password."""
    farm = lab(tls_winrm=tls)
    session = pool(farm)
    session.call("read-flags", FLAGS)
    hang_up(farm)
    session.call("read-flags", FLAGS)
    session.gate.check()
    assert farm.servers["EX01"].state.winrm.rejected_logons == 0
    assert no_shell_left(farm)


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.WSMAN])
@pytest.mark.parametrize("at", range(5))
def test_a_mishap_anywhere_is_tried_again_where_twice_is_once(lab: Lab, pool: Pool, fault: Fault, at: int) -> None:
    """Create, Command, Send, Receive or Delete goes wrong: a call that may be repeated succeeds."""
    farm = lab()
    session = pool(farm)
    session.prove()
    farm.servers["EX01"].faults.script(*[None] * at, fault)
    assert session.call("read-flags", FLAGS, retry=True)["pools"] == []
    counters = farm.servers["EX01"].state.winrm
    # Only a shell whose own Create or Delete got lost can stay behind; the server ends it by its idle time-out.
    assert farm.servers["EX01"].winrm.shells.open <= (fault is Fault.DROP_AFTER and at == 0)
    assert sum(counters.faults.values()) == 1


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.WSMAN])
def test_a_mishap_is_not_repeated_by_itself(lab: Lab, pool: Pool, fault: Fault) -> None:
    """Without leave to repeat, the call raises Unreachable, and the shell is closed all the same."""
    farm = lab()
    session = pool(farm)
    session.prove()
    farm.servers["EX01"].faults.script(None, None, None, fault)
    with pytest.raises(Unreachable):
        session.call("set-require-ssl", {"changes": [], "recycle": []})
    assert no_shell_left(farm)


def test_it_gives_up_in_the_end(lab: Lab, pool: Pool) -> None:
    """Faults that do not pass are told after a few attempts."""
    farm = lab()
    session = pool(farm)
    session.prove()
    farm.servers["EX01"].faults.script(*[Fault.WSMAN] * 40)
    with pytest.raises(Unreachable):
        session.call("read-flags", FLAGS, retry=True)
    assert farm.servers["EX01"].state.winrm.faults["wsman-fault"] < 20


def test_the_deadline_is_ours(lab: Lab, pool: Pool) -> None:
    """A script that does not end is given up at the deadline, and its shell, which ends it, is closed."""
    farm = lab(work_s=30.0)
    with pytest.raises(Unreachable, match=r"read-flags did not end within 1\.5 s") as caught:
        pool(farm, operation_timeout_s=1).call("read-flags", FLAGS, deadline_s=1.5, retry=True)
    assert caught.value.code == "deadline"
    assert no_shell_left(farm)
    assert farm.servers["EX01"].state.winrm.actions["Command"] == 1


def test_nothing_yet_is_asked_again(lab: Lab, pool: Pool) -> None:
    """A Receive that times out at the server is repeated until there is output."""
    farm = lab(work_s=1.3)
    assert pool(farm, operation_timeout_s=1).call("read-flags", FLAGS)["pools"] == []
    assert farm.servers["EX01"].state.winrm.actions["Receive"] > 1


def test_too_many_shells(lab: Lab, pool: Pool) -> None:
    """The quota fault says what it is and where to raise it."""
    farm = lab(max_shells=1)
    session = pool(farm)
    with session.shell(), pytest.raises(Unreachable, match="too many shells") as caught:
        session.call("read-flags", FLAGS)
    assert caught.value.code == "2150859174"
    assert "MaxShellsPerUser" in caught.value.remedy


def test_a_shell_that_is_gone(lab: Lab, pool: Pool) -> None:
    """WinRM restarted under an open shell: Unreachable with the fault's number, and closing it again is no error."""
    farm = lab()
    with pool(farm).shell() as shell:
        farm.servers["EX01"].winrm.shells._shells.clear()  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Unreachable) as caught:
            shell.run("read-flags", FLAGS)
    assert caught.value.code == "2150858843"


def test_what_a_script_throws_is_rejected_with_its_id(lab: Lab, pool: Pool) -> None:
    """The script's message and FullyQualifiedErrorId come through; the shell is closed."""
    farm = lab()
    with pytest.raises(Rejected, match=r"read-flags: .*NoSuchPool") as caught:
        pool(farm).call("read-flags", {"locations": [], "pools": ["NoSuchPool"]}, retry=True)
    assert caught.value.code.startswith("PathNotFound")
    assert caught.value.where == "EX01"
    assert farm.servers["EX01"].state.winrm.actions["Command"] == 1
    assert no_shell_left(farm)


def test_a_missing_right_in_a_script_is_denied(lab: Lab, pool: Pool) -> None:
    """An account that is no administrator and changes IIS: Denied, but no reason to stop every other session."""
    farm = lab(administrator=False)
    session = pool(farm)
    change = {"changes": [{"location": "Default Web Site/owa", "own": "None"}], "recycle": []}
    with pytest.raises(Denied):
        session.call("set-require-ssl", change)
    session.gate.check()


def test_a_rejected_inner_logon_stops_the_account(lab: Lab, pool: Pool) -> None:
    """Exchange's own session with a wrong password counts against the account like ours does."""
    farm = lab()
    session = pool(farm)
    exchange = {"server": farm.servers["EX01"].fqdn, "user": farm.user, "password": "not it"}
    with pytest.raises(Denied):
        session.call("farm-facts", {"exchange": exchange, "servers": ["EX01"]}, retry=True)
    with pytest.raises(Denied, match="not tried again"):
        session.call("read-flags", FLAGS)


def test_no_second_hop_without_credentials(lab: Lab, pool: Pool) -> None:
    """A network logon cannot go on to Exchange: the script's error comes through, the account is not suspected."""
    farm = lab()
    session = pool(farm)
    exchange = {"server": farm.servers["EX01"].fqdn, "user": None, "password": None}
    with pytest.raises(Rejected) as caught:
        session.call("farm-facts", {"exchange": exchange, "servers": ["EX01"]})
    assert caught.value.code == "1312,PSSessionOpenFailed"
    session.gate.check()


def test_another_ca_is_not_trusted(lab: Lab, pool: Pool, settings: Callable[..., SessionSettings]) -> None:
    """A server of another CA is refused before anything is sent, and waiting would not help."""
    farm, other = lab(), lab()
    with pytest.raises(Rejected, match="not trusted") as caught:
        pool(farm, ca_pem=other.ca_pem).call("read-flags", FLAGS, retry=True)
    assert caught.value.code == "tls_untrusted"
    assert "ca_file" in caught.value.remedy
    assert spent(farm) == 0


def test_another_name_is_not_trusted(lab: Lab, pool: Pool) -> None:
    """The name verified is the server's, not the address connected to."""
    farm = lab()
    with pytest.raises(Rejected, match="ex09") as caught:
        pool(farm, server_name="ex09.contoso.test").call("read-flags", FLAGS)
    assert caught.value.code == "tls_untrusted"
    assert spent(farm) == 0


def test_nobody_listens(lab: Lab, pool: Pool) -> None:
    """A closed port is Unreachable with address and port."""
    farm = lab()
    session = pool(farm)
    port = farm.servers["EX01"].winrm_port
    farm.stop()
    with pytest.raises(Unreachable, match=f"127.0.0.1 port {port}") as caught:
        session.call("read-flags", FLAGS, deadline_s=5)
    assert caught.value.code == "connection"


def test_dead_servers_do_not_hold_up_the_first_login(lab: Lab, pool: Pool) -> None:
    """While somebody's first login is under way, a server where nobody listens is told at once, not after it."""
    farm = lab(servers=2)
    gate = LoginGate()
    dead = pool(farm, "EX02", gate=gate)
    farm._management.run(farm.servers["EX02"].winrm.http.stop())  # pyright: ignore[reportPrivateUsage]
    with gate.login(), ThreadPoolExecutor(1) as threads:  # the first login is still under way
        error = threads.submit(dead.call, "read-flags", FLAGS).exception(timeout=20)
    assert isinstance(error, Unreachable)
    assert error.code == "connection"


def test_the_environment_is_not_asked(lab: Lab, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and CA files of the environment change nothing."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nonexistent.pem")
    assert pool(lab()).call("read-flags", FLAGS)["pools"] == []


def test_closing_and_releasing(lab: Lab, pool: Pool) -> None:
    """To release closes the calling thread's connection, close all; both may come twice, and a later call opens anew."""
    farm = lab()
    session = pool(farm)
    session.release()
    session.call("read-flags", FLAGS)
    session.release()
    session.release()
    session.call("read-flags", FLAGS)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(session.call, "read-flags", FLAGS).result()
    session.close()
    session.close()
    assert session.call("read-flags", FLAGS)["pools"] == []


@pytest.mark.parametrize("tls", [True, False])
def test_no_connection_is_left(lab: Lab, pool: Pool, tls: bool) -> None:
    """Released or closed, a connection is gone at the server at once; a rejected login leaves none either."""
    farm = lab(tls_winrm=tls)
    server = farm.servers["EX01"].winrm.http
    session, wrong = pool(farm), pool(farm, password=lambda: "wrong")
    gc.disable()
    try:
        session.prove()
        session.release()
        session.prove()
        session.close()
        with pytest.raises(Denied):
            wrong.prove()
        gone = threading.Event()
        for _ in range(200):
            if server.open_connections == 0:
                break
            gone.wait(0.02)
    finally:
        gc.enable()
    assert server.accepted >= 3
    assert server.open_connections == 0


def test_each_thread_has_its_connection(lab: Lab, pool: Pool) -> None:
    """Eight threads on one pool, eight calls each: all work, and each thread logged in once."""
    farm = lab()
    session = pool(farm)
    session.prove()
    start = threading.Barrier(8, timeout=20)

    def work(_: int) -> int:
        start.wait()
        return sum(session.call("read-flags", FLAGS)["pools"] == [] for _ in range(8))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [8] * 8
    assert farm.servers["EX01"].state.winrm.requests - farm.servers["EX01"].state.winrm.plain == 2 * 9
    assert no_shell_left(farm)


def test_no_secret_shows(lab: Lab, pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """Passwords stand in no log line of any library, in no repr and in no error or what hangs on it."""
    caplog.set_level(logging.DEBUG)
    farm = lab()
    inner = "an-Inner-passw0rd"
    session = pool(farm, transport="basic")
    exchange = {"server": farm.servers["EX01"].fqdn, "user": farm.user, "password": inner}
    farm.servers["EX01"].faults.script(None, None, Fault.WSMAN, None, Fault.DROP_AFTER)
    seen = [repr(session.settings), str(session.settings)]
    scripts: tuple[ScriptName, ...] = ("farm-facts", "read-flags", "set-require-ssl")
    for script in scripts:
        try:
            session.call(script, {"exchange": exchange, "servers": [], **FLAGS}, retry=script == "read-flags")
        except LbsyncError as error:
            link: BaseException | None = error
            while link is not None:
                seen += [repr(link), str(link), repr(vars(link))]
                link = link.__cause__ or link.__context__
    told = "\n".join([*seen, caplog.text, *farm.servers["EX01"].state.winrm.command_lines])
    tokens = [base64.b64encode(f"{farm.user}:{farm.password}".encode()).decode(), farm.password, inner]
    assert len(seen) > 4
    assert [token for token in tokens if token in told] == []


def test_an_error_carries_no_request(lab: Lab, pool: Pool) -> None:
    """No exception of the libraries, whose requests hold tokens, hangs on ours."""
    farm = lab()
    with pytest.raises(Denied) as caught:
        pool(farm, password=lambda: "wrong").prove()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
