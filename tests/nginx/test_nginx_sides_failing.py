"""A switch of sides that fails or is killed half-way on a real NGINX: all as before, or told and mended."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence

import pytest
from pydantic import JsonValue

from lbsync.errors import Rejected
from lbsync.kit.host import Completed
from lbsync.kit.host_local import LocalHost
from lbsync_nginx import plugin
from lbsync_nginx.ending import to_come
from lbsync_nginx.settings import NginxSettings
from tests.balancers.acts import perform, seen_by
from tests.balancers.bench import wait_true
from tests.longer import one_now
from tests.nginx.acts import certs_of, every_way, everything, killed_at_the_reload
from tests.nginx.conftest import HTTP, NginxBench, Switching
from tests.nginx.sided import Crowd, asked_anew, settle, sides, switch_of


@every_way
@pytest.mark.parametrize("reload", one_now([["false"], ["true"]]), ids=["refused", "silent"])
def test_a_reload_that_fails_leaves_everything_as_before(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], reload: list[str]
) -> None:
    """Refused with words or without any: files, links and workers are those of before, and so is what is served."""
    bench = make_bench(settings)
    bench.publish()
    with bench.open() as provider:
        switch, *_ = switch_of(bench, provider)
        seen = seen_by(provider)
    before, workers = everything(bench), bench.nginx.workers
    told = {**bench.settings, "reload": reload, "reload_timeout_s": 1.0}
    with plugin.open(bench.spec, told) as failing:
        with pytest.raises(Rejected, match="was not reloaded") as caught:
            perform(bench, failing, switch.do)
        assert (caught.value.code, caught.value.state) == (
            "reload_failed",
            "the files are as they were, and NGINX runs them",
        )
        assert (everything(bench), bench.nginx.workers) == (before, workers)
        assert seen_by(failing).model_dump(exclude={"live"}) == seen.model_dump(exclude={"live"})
    assert bench.request("/owa/").server == "EX02"


@every_way
def test_a_pair_that_no_handshake_survives_is_taken_back(switching: Switching, settings: dict[str, object]) -> None:
    """A certificate with another one's key that NGINX's own test may pass: whatever it meets, all is then as before."""
    bench, provider, (switch, *_) = switching(settings)
    pair = certs_of(bench) / f"{bench.second.fingerprint}.pem"
    start = b"-----BEGIN PRIVATE KEY-----"
    pair.write_bytes(bench.second.pem().partition(start)[0] + start + bench.first.pem().partition(start)[2])
    before = everything(bench)
    with pytest.raises(Rejected) as caught:
        perform(bench, provider, switch.do)
    assert (caught.value.code, everything(bench)) == ("not_live", before)
    assert asked_anew(bench) == (bench.first.fingerprint, "EX02")


@every_way
@pytest.mark.parametrize("loaded", one_now([False, True]), ids=["before the reload", "after it"])
@pytest.mark.parametrize("mended_by", one_now(["again", "undo"]))
def test_a_run_killed_half_way_is_mended(
    switching: Switching, settings: dict[str, object], mended_by: str, *, loaded: bool
) -> None:
    """What is half done is told, clients meet one side all the while, and the step or its undo settles it."""
    bench, provider, (switch, *_) = switching(settings)
    before, workers = everything(bench), bench.nginx.workers
    killed_at_the_reload(bench, switch.do, after=loaded)
    deadline = time.monotonic() + 10
    while loaded and not (bench.nginx.workers and workers.isdisjoint(bench.nginx.workers)):
        assert time.monotonic() < deadline
    seen = seen_by(provider)
    if loaded:
        assert (seen.leaf, seen.problems) == (
            bench.second.fingerprint,
            ("EX02 is drained in NGINX: it gets nothing new.",),
        )
    else:
        short = [bundle.fingerprint[:12] for bundle in (bench.first, bench.second)]
        assert (seen.leaf, seen.published, seen.structure) == (None, True, None)
        assert seen.problems[:3] == (
            f"NGINX serves certificate {short[0]}, on disk is certificate {short[1]}: the next reload would change it.",
            "EX01 is drained in NGINX, not so on disk: the next reload would change it.",
            "EX02 is taking requests in NGINX, not so on disk: the next reload would change it.",
        )
    assert asked_anew(bench) == ((bench.second.fingerprint, "EX01") if loaded else (bench.first.fingerprint, "EX02"))
    again = mended_by == "again"
    with Crowd(bench, keep=0) as crowd:
        perform(bench, provider, switch.do if again else switch.undo)
        wait_true(provider, switch.until if again else switch.undo_until)
    assert (set(crowd.met) - sides(bench), crowd.lost) == (set(), [])
    assert asked_anew(bench) == ((bench.second.fingerprint, "EX01") if again else (bench.first.fingerprint, "EX02"))
    seen = seen_by(provider)
    assert seen.structure == seen.wanted_structure
    assert len(seen.problems) == 1
    if not again:
        now = everything(bench)
        now.pop(str(certs_of(bench) / "live2.pem"), None)
        assert now == before


def test_servers_that_are_no_members_are_refused(switching: Switching) -> None:
    """All that are none are named, and nothing changes; nor does it for a certificate that is not installed."""
    bench, provider, (switch, *_) = switching(HTTP)
    assert switch.do is not None
    before, workers = everything(bench), bench.nginx.workers
    wrong: dict[str, dict[str, JsonValue]] = {
        "no_server": {"old": ["EX02", "EX08", "EX09"]},
        "not_installed": {"after": "e" * 64},
    }
    for code, args in wrong.items():
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, switch.do.model_copy(update={"args": {**switch.do.args, **args}}))
        assert caught.value.code == code
        assert ("EX08, EX09 are no members" in caught.value.message) is (code == "no_server")
    assert (everything(bench), bench.nginx.workers) == (before, workers)


class AsNobody(LocalHost):
    """This host, where commands run without rights."""

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002 -- as in Host
        """See ``Host.run``."""
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        return super().run([*nobody, *argv], input=input, timeout_s=timeout_s)


def test_old_workers_that_cannot_be_looked_into_get_their_time(switching: Switching) -> None:
    """Without the rights nobody knows whether a client is still to come; said so, with the seconds left."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("root or setpriv is missing")
    bench, provider, (switch, *_) = switching(HTTP)
    bench.nginx.directory.chmod(0o755)
    settings = NginxSettings.model_validate(bench.settings)
    with bench.connected():
        perform(bench, provider, switch.do)
        told = to_come(AsNobody(), bench.spec, settings)
        assert re.fullmatch(
            r"what old workers hold cannot be seen without root, .* get [34][0-9] s to ask for something", told
        )
    settle(provider, "EX02")
    assert to_come(AsNobody(), bench.spec, settings) == ""
