"""A renewed certificate through the real command: everywhere, noticed by nobody, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lbsync.cli.exits import ExitCode
from lbsync.lab.store import StoredEntry
from lbsync.testing.load import Load, LoadSpec
from lbsync_certs import Bundle
from lbsync_certs.info import describe
from tests.longer import LONGER, one_now
from tests.rollout.fronts import HAPROXY, NGINX_HTTP, Kind
from tests.rollout.rig import Rehearsal

HOST = "mail.contoso.test"


def renewed(rehearsal: Rehearsal, days: int = 700, **options: object) -> Bundle:
    """A certificate of the same names that ends later."""
    names = rehearsal.farm.leaf.info.names
    return rehearsal.farm.ca.issue(list(names), days=days, **options)  # type: ignore[arg-type]


def bring(rehearsal: Rehearsal, bundle: Bundle, server: str = "EX01", *, exportable: bool = True) -> None:
    """Import it on a server, as an administrator would; nothing serves it."""
    rehearsal.farm.state.servers[server].store.add(StoredEntry(bundle=bundle, exportable=exportable))


def forget(rehearsal: Rehearsal, bundle: Bundle) -> None:
    """Take it out of the stores again: the rehearsal is kept for the next test."""
    for server in rehearsal.farm.state.servers.values():
        server.store.entries.pop(bundle.info.thumbprint, None)


def load_on(rehearsal: Rehearsal) -> LoadSpec:
    """Clients of the published name that come and that stay."""
    running = rehearsal.balancer.running
    return LoadSpec(
        fresh_pause_s=0.02,
        address=running.address,
        port=running.https_port,
        server_name=HOST,
        ca_pem=rehearsal.farm.ca_pem,
        paths=("/owa/healthcheck.htm", "/ews/healthcheck.htm"),
        fresh=1,
        keep=3,
        long=0,
    )


@pytest.mark.parametrize("kind", one_now([HAPROXY, NGINX_HTTP]), ids=str)
def test_a_renewed_certificate_gets_everywhere_and_nobody_notices(
    kind: Kind, rehearsal: Rehearsal, tmp_path: Path
) -> None:
    """Found on one server, it is served by the balancer and by every server; the way back leaves what was before."""
    assert rehearsal.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")[0] == ExitCode.OK
    before, old, new = rehearsal.snapshot(), rehearsal.farm.leaf, renewed(rehearsal)
    bring(rehearsal, new)
    try:
        with Load(load_on(rehearsal)) as load:
            code, said = rehearsal.run(tmp_path, "rotate", "--yes")
        assert code == ExitCode.OK, said
        assert f"to {new.thumbprint}" in said
        assert {name: server.iis.bound for name, server in rehearsal.farm.state.servers.items()} == dict.fromkeys(
            rehearsal.farm.state.servers, new.thumbprint
        )
        assert rehearsal.snapshot().own_values == before.own_values
        assert set(load.result.leaves) == {old.fingerprint, new.fingerprint}
        # NGINX closes idle connections at a reload: those requests were not sent, or are sent again by any client.
        assert {
            name: n for name, n in load.result.failures.items() if not name.startswith("keep") or kind is HAPROXY
        } == {}
        code, said = rehearsal.run(tmp_path, "rotate", "--yes")
        assert code == ExitCode.REFUSED, said
        assert "no renewed certificate was found" in said
        assert rehearsal.run(tmp_path, "plan")[0] == ExitCode.OK
        code, said = rehearsal.run(tmp_path, "rollback", "--quiet", "--no-canary")
        assert code == ExitCode.OK, said
        assert rehearsal.snapshot() == before
    finally:
        code, said = rehearsal.run(tmp_path, "rollback", "--quiet", "--no-canary")
        assert code == ExitCode.OK, said
        forget(rehearsal, new)


@pytest.fixture
def published(rehearsal: Rehearsal, tmp_path: Path) -> Rehearsal:
    """A rehearsal whose balancer serves the first certificate."""
    assert rehearsal.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")[0] == ExitCode.OK
    return rehearsal


def test_what_must_not_follow_is_refused_with_the_reason(published: Rehearsal, tmp_path: Path) -> None:
    """Not exportable, tomorrow's, another name, weaker: each by name, nothing is changed."""
    before = published.snapshot()
    tomorrow = renewed(published, not_before=datetime.now(UTC) + timedelta(days=1))
    fewer = published.farm.ca.issue([HOST], days=700)
    kept = renewed(published)
    bad = {tomorrow: "begins on", fewer: "does not cover", kept: "not marked exportable"}
    try:
        for bundle in bad:
            bring(published, bundle, exportable=bundle is not kept)
        code, said = published.run(tmp_path, "rotate", "--yes")
        assert code == ExitCode.REFUSED, said
        assert "no renewed certificate was found" in said
        for bundle, words in bad.items():
            assert words in said
            code, alone = published.run(tmp_path, "rotate", "--yes", "--thumbprint", bundle.thumbprint, "--force")
            assert code == ExitCode.REFUSED, alone
            assert words in alone
        assert published.snapshot() == before
    finally:
        for bundle in bad:
            forget(published, bundle)
        published.run(tmp_path, "rollback", "--quiet", "--no-canary")


@LONGER
def test_several_are_listed_and_an_unknown_issuer_is_refused(published: Rehearsal, tmp_path: Path) -> None:
    """Named by its thumbprint one of them is taken; another CA's would close every pool."""
    from lbsync.testing.ca import TestCA

    one, two = renewed(published), renewed(published, days=701)
    strange = TestCA.new("another").issue(list(published.farm.leaf.info.names), days=702)
    try:
        for bundle in (one, two):
            bring(published, bundle)
        code, said = published.run(tmp_path, "rotate", "--yes")
        assert (code, "choose one" in said) == (ExitCode.REFUSED, True), said
        code, said = published.run(tmp_path, "rotate", "--dry-run", "--thumbprint", one.thumbprint)
        assert (code, "enable-certificate" in said or "IIS 443 serves" in said) == (ExitCode.ATTENTION, True), said
        bring(published, strange)
        code, said = published.run(tmp_path, "rotate", "--yes", "--thumbprint", strange.thumbprint)
        assert (code, "before a trusted root" in said) == (ExitCode.REFUSED, True), said
    finally:
        for bundle in (one, two, strange):
            forget(published, bundle)
        published.run(tmp_path, "rollback", "--quiet", "--no-canary")


@LONGER
def test_other_services_get_it_when_they_are_named(published: Rehearsal, tmp_path: Path) -> None:
    """SMTP and IMAP have it along with IIS; POP, and what servers use between them, keep theirs; and all the way back."""
    before, old, new = published.snapshot(), published.farm.leaf.thumbprint, renewed(published)
    states = list(published.farm.state.servers.values())
    between = dict(published.farm.state.directory.names.transport)
    bring(published, new)
    try:
        code, said = published.run(tmp_path, "rotate", "--dry-run", "--also", "imap,smtp")
        assert code == ExitCode.ATTENTION, said
        assert "IIS 443, SMTP, IMAP serve" in " ".join(said.split())
        code, said = published.run(tmp_path, "rotate", "--yes", "--quiet", "--no-canary", "--also", "imap,smtp")
        assert code == ExitCode.OK, said
        for server in states:
            assert server.store.entries[new.thumbprint].services == ["IIS", "SMTP", "IMAP"]
            assert server.store.entries[old].services == ["POP", "SMTP"]
            assert {one.serves for one in server.mail.services if one.running} == {new.thumbprint}
        assert published.farm.state.directory.names.transport == between
        code, said = published.run(tmp_path, "rollback", "--quiet", "--no-canary")
        assert code == ExitCode.OK, said
        assert published.snapshot() == before
        for server in states:
            assert set(server.store.entries[old].services) == {"IIS", "SMTP", "IMAP", "POP"}
            assert {one.serves for one in server.mail.services if one.running} == {old}
        assert published.farm.state.directory.names.transport == between
    finally:
        forget(published, new)
        published.run(tmp_path, "rollback", "--quiet", "--no-canary")


@LONGER
def test_a_request_and_its_answer_make_a_rotation(published: Rehearsal, tmp_path: Path) -> None:
    """The key is made on a server and leaves it only then; an answer that fits no request is refused."""
    request, answer = tmp_path / "mail.req", tmp_path / "mail.cer"
    code, said = published.run(tmp_path, "csr", "--server", "EX02", "--out", str(request))
    assert (code, "is pending now on EX02" in said) == (ExitCode.OK, True), said
    before = published.snapshot()
    answer.write_bytes(renewed(published).leaf.public_bytes(Encoding.PEM))
    code, said = published.run(tmp_path, "rotate", "--yes", "--no-canary", "--response", str(answer))
    assert code == ExitCode.ERROR, said
    assert published.snapshot() == before
    names = published.farm.leaf.info.names
    leaf = published.farm.ca.sign(request.read_bytes(), names=names, days=700)
    answer.write_bytes(leaf.public_bytes(Encoding.PEM) + published.farm.ca.chain_pem)
    code, said = published.run(tmp_path, "rotate", "--yes", "--no-canary", "--response", str(answer))
    assert code == ExitCode.OK, said
    new = describe(leaf)
    assert {server.iis.bound for server in published.farm.state.servers.values()} == {new.thumbprint}
    assert published.run(tmp_path, "rollback", "--quiet", "--no-canary")[0] == ExitCode.OK
    assert published.snapshot() == before
    for server in published.farm.state.servers.values():
        server.store.entries.pop(new.thumbprint, None)
    published.run(tmp_path, "rollback", "--quiet", "--no-canary")
