"""Record and replay: a farm as a file, judged offline, and a lab that is like it."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from lbsync.cli.command import Session
from lbsync.cli.rebuilding import rebuilt
from lbsync.cli.recording import look_again, write_recording
from lbsync.errors import LbsyncError
from lbsync.lab.daemon import Lab
from lbsync.lab.spec import LabSpec
from lbsync.recording.pseudonyms import Pseudonyms
from tests.cli.conftest import Lbsync


def verdicts(document: Any) -> object:
    """Rules, severities, places and modes of an advice as JSON."""
    farm = [(one["rule"], one["severity"], one["where"]) for one in document["farm"]]
    services = [
        (one["service"], one["wanted"], one["possible"], [(f["rule"], f["severity"]) for f in one["findings"]])
        for one in document["services"]
    ]
    return farm, services


def secrets_of(lab: Lab) -> list[str]:
    """Every password of a lab, and every private key in the shapes that a text could hold it in."""
    found = [lab.farm.password, lab.farm.mailbox[1], lab.farm.reader[1]]
    found += [path.read_text() for path in lab.directory.glob("*/*password*")]
    for server in lab.farm.servers.values():
        for entry in server.state.store.entries.values():
            key = entry.bundle.key
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            found += pem.splitlines()[1:-1]
            found.append(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).hex()[80:160])
    return found


def test_a_recorded_farm_is_rehearsed_on(lbsync: Lbsync, tmp_path: Path) -> None:
    """Lab A with its oddities, recorded; lab B like it; recorded again: the same verdicts. No secret, no name is in a file."""
    odd = LabSpec(
        servers=3,
        extended_protection=["EX01"],
        drift=["EX02"],
        expired=["EX03"],
        client_certificates=["EX02"],
        not_exportable=["EX01"],
        oa_offloaded=True,
        mrsproxy_enabled=False,
        oauth=True,
        version="2016",
        missing_cmdlets=("Get-TransportService",),
        faults=0.0,
        oa_lag_s=0.1,
        gap_s=0.1,
        seed=7,
    )
    options: Any = {"modes": {"default": "offload", "ecp": "bridge"}, "limits": {"allow_drift": True}}
    plain, hidden, key = tmp_path / "a.json", tmp_path / "hidden.json", tmp_path / "key.json"
    with Lab(odd, tmp_path / "a", balancer="bigip", options=options) as lab:
        told = lbsync("record", plain, "--config", lab.config)
        assert told.code == 0, told.err
        assert stat.S_IMODE(plain.stat().st_mode) == 0o600
        assert lbsync("record", hidden, "--config", lab.config, "--pseudonyms", "--key", key, "--json").code == 0
        live = lbsync("advise", "--config", lab.config, "--json")
        secrets = secrets_of(lab)
        piped = lbsync("record", "-", "--config", lab.config)
        assert json.loads(piped.out)["pseudonyms"] is False
        again = lbsync("record", plain, "--config", lab.config)
        assert (again.code, "exists already" in again.err) == (1, True)
    for path in (plain, hidden, key):
        text = path.read_text(encoding="utf-8")
        assert [secret for secret in secrets if secret in text] == []
    text = hidden.read_text(encoding="utf-8").lower()
    assert "contoso" not in text
    assert "ex0" not in text
    assert "EX01" in {one.upper() for one in json.loads(key.read_text()).values()}

    offline = lbsync("advise", "--from", plain, "--json")
    assert (offline.code, verdicts(offline.document)) == (live.code, verdicts(live.document))
    veiled = lbsync("advise", "--from", hidden, "--json")
    as_named = json.loads(json.dumps(veiled.document).replace("SRV", "EX0").replace("LB1", "lb1").replace("LB2", "lb1"))
    assert verdicts(as_named) == verdicts(live.document)
    assert lbsync("advise", "--from", plain, "--if", "ep=off").code == 2

    mine = tmp_path / "mine.toml"
    wishes = lab.config.read_text().replace('default = "offload"', 'default = "bridge"')
    mine.write_text(f"{wishes}\n[policy]\nencrypt_inside = true\n")
    other = lbsync("advise", "--from", hidden, "--config", mine, "--json")
    assert {one["wanted"] for one in other.document["services"]} == {"bridge"}
    assert "encrypt-inside" in json.dumps(other.document)
    assert "encrypt-inside" not in json.dumps(veiled.document)

    spec = rebuilt(hidden, None, None, None)
    like = replace(spec.spec, faults=0.0, oa_lag_s=0.1, gap_s=0.1, seed=7)
    assert spec.balancer == "bigip"
    with Lab(like, tmp_path / "b", balancer="bigip", options=spec.options) as lab:
        second = tmp_path / "b.json"
        assert lbsync("record", second, "--config", lab.config).code == 0
        repeated = lbsync("advise", "--from", second, "--json")
    as_veiled = json.loads(json.dumps(repeated.document).replace("lb1", "LB2"))
    assert verdicts(as_veiled) == verdicts(veiled.document)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("record", "case.json", "--key", "key.json"), "goes with --pseudonyms"),
        (("record", "there.json"), "exists already"),
        (("record", "folder"), "this is a folder"),
        (("record", "case.json", "--pseudonyms", "--key", "there.json"), "exists already"),
        (("advise", "--from", "none.json"), "cannot be read: No such file"),
        (("advise", "--from", "folder"), "a folder, not a recording"),
        (("advise", "--from", "there.json"), "no recording of lbsync"),
        (("advise", "--from", "binary"), "not JSON"),
        (("advise", "--from", "there.json", "--write"), "do not go together"),
        (("lab", "up", "--from", "there.json"), "no recording of lbsync"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(
    lbsync: Lbsync, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """One sentence, exit code 1, nothing asked of anybody."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    told = lbsync(*words)
    assert told.code == 1
    assert said in told.err
    assert "What to do" in told.err


def test_an_unsafe_recording_is_not_written(tmp_path: Path) -> None:
    """Should a secret, a key or a name get through after all, the file is refused."""
    screen = Session(as_json=False, quiet=False, state=tmp_path)
    screen.redactor.remember("env:PW", SecretStr("hunter2-hunter2"))
    names = Pseudonyms([], [])
    names.host("mail.contoso.com")
    look_again(screen, "clean", names)
    for text in ("hunter2-hunter2", "-----BEGIN PRIVATE KEY-----", "mail.contoso.com"):
        with pytest.raises(LbsyncError) as raised:
            look_again(screen, text, names)
        assert raised.value.code == "recording-unsafe"
    with pytest.raises(LbsyncError, match="cannot be written"):
        write_recording(tmp_path / "no" / "folder.json", "x")
