"""No secret is anywhere but in the balancer's certificate folder, while a run is on and after it.

Where the command may write is learned from the interpreter itself: an audit hook in the child notes every file opened for
writing, every database and every program started, so that no place is searched by guessing.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbsync_certs.pfx import write_pfx
from tests.longer import LONGER
from tests.rollout.fronts import BIGIP_REQUESTS, HAPROXY, NGINX_HTTP, NGINX_VARIABLE, Kind, all_of
from tests.rollout.needles import Needles
from tests.rollout.rig import Rehearsal, write_config
from tests.rollout.test_rotate import bring, forget, renewed

_HOOK = """
import json, os, sys
_target = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def _note(event, args):
    if event == "open" and (args[2] & _WRITING or any(c in (args[1] or "") for c in "wax+")):
        told = ["file", str(args[0])]
    elif event == "sqlite3.connect":
        told = ["file", str(args[0])]
    elif event in ("os.rename", "os.link", "os.symlink"):
        told = ["file", str(args[1])]
    elif event == "subprocess.Popen":
        told = ["program", " ".join(map(str, args[1]))]
    else:
        return
    os.write(_target, json.dumps(told).encode() + b"\\n")

sys.addaudithook(_note)
"""


class Watched:
    """A private place for a command, and a search of everything it may leave behind."""

    def __init__(self, folder: Path, rehearsal: Rehearsal) -> None:
        self.state = folder / "state"
        self._rehearsal = rehearsal
        self._log = folder / "audit.log"
        self._given: dict[Path, tuple[int, ...] | None] = {}
        hook = folder / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
        self._roots = [folder / "tmp", folder / "home", self.state, *rehearsal.balancer.places]
        for root in self._roots[:2]:
            root.mkdir()
        self.env = {
            "AUDIT_LOG": str(self._log),
            "PYTHONPATH": os.pathsep.join([str(hook), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder / "home"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def places(self, *, changed: bool = False) -> Iterator[tuple[str, bytes]]:
        """Name and content of every file it may have written, and of every process's arguments.

        ``changed``: without files that are as they were when they were given last.
        """
        for root in (*self._roots, self._rehearsal.balancer.log):
            for path in all_of(root):
                if path.parent not in self._rehearsal.balancer.certs and path.is_file():
                    was, now = self._given.get(path), _look(path)
                    self._given[path] = now
                    if not changed or now is None or was != now:
                        yield from _read(path)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            yield from _read(path)
        yield from _read(self._log)

    def written_elsewhere(self) -> set[str]:
        """Files opened for writing outside the places searched; devices and pipes aside."""
        told = [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]
        names = {name.removeprefix("file://").partition("?")[0] for kind, name in told if kind == "file"}
        paths = {path for path in names if not path.startswith(("/dev/", ":memory:"))}
        absolute = {path for path in paths if path.startswith("/") or "/" in path}
        return {path for path in absolute if not any(Path(path).is_relative_to(root) for root in self._roots)}

    @property
    def noted(self) -> int:
        """How many events the hook noted: none would mean that it does not work."""
        return len(self._log.read_text(encoding="utf-8").splitlines())


def _look(path: Path) -> tuple[int, ...] | None:
    """What changes with a file's content; ``None`` where it has gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        yield str(path), path.read_bytes()
    except OSError:  # gone in the meantime
        return


@pytest.fixture
def pfx_password() -> str:
    """A password like an administrator's, and unlike anything else."""
    return f"Pfx-{secrets.token_hex(12)}"


@pytest.fixture
def needles(rehearsal: Rehearsal, pfx_password: str) -> Needles:
    """The farm's key and every configured secret."""
    found = Needles()
    found.add_key("private key", rehearsal.farm.leaf.key)
    found.add("WinRM password", rehearsal.farm.password.encode())
    for name, secret in rehearsal.balancer.secrets.items():
        found.add(name, secret.encode())
    found.add("PFX password", pfx_password.encode())
    return found


@pytest.mark.parametrize(
    ("kind", "source", "renewed_at"),
    [
        pytest.param(HAPROXY, "server", None, marks=LONGER),
        (HAPROXY, "file", "file"),
        pytest.param(NGINX_HTTP, "server", "server", marks=LONGER),
        pytest.param(NGINX_VARIABLE, "file", None, marks=LONGER),
        pytest.param(BIGIP_REQUESTS, "server", "server", marks=LONGER),
    ],
    ids=str,
)
def test_no_secret_is_left_anywhere(  # noqa: PLR0917 -- fixtures, by name
    kind: Kind, source: str, renewed_at: str | None, rehearsal: Rehearsal, needles: Needles, pfx_password: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Ledger, log, report, temporary files, screen and arguments hold no secret: apply, verify, a rotation, the ways back."""
    watched = Watched(tmp_path, rehearsal)
    certificate: dict[str, object] = {"source": "server"}
    if source == "file":
        pfx = tmp_path / "mail.pfx"
        pfx.write_bytes(write_pfx(rehearsal.farm.leaf, pfx_password.encode()))
        certificate = {"source": "file", "file": str(pfx), "password": "env:LBSYNC_TEST_PFX_PASSWORD"}
    new = renewed(rehearsal)
    needles.add_key("renewed key", new.key)
    if renewed_at == "file":
        dropped = tmp_path / "renewed.pfx"
        dropped.write_bytes(write_pfx(new, pfx_password.encode()))
        certificate |= {"renewals": [str(dropped)], "renewals_password": "env:LBSYNC_TEST_PFX_PASSWORD"}
    front = rehearsal.balancer
    config = write_config(rehearsal.farm, front, tmp_path / "lbsync.toml", certificate, modes=kind.modes)
    env = {**watched.env, "LBSYNC_TEST_PFX_PASSWORD": pfx_password}
    ours = Rehearsal(rehearsal.farm, front, config)
    rotation = [["rotate", "--yes"], ["show", "latest"], ["rollback"]] if renewed_at else []
    for arguments in (["apply", "--yes"], ["verify"], *rotation, ["rollback", "FIRST"]):
        if arguments == ["rotate", "--yes"] and renewed_at == "server":
            bring(rehearsal, new)
        words = [_first_run(ours, watched) if word == "FIRST" else word for word in arguments]
        if kind is not HAPROXY and arguments[0] in {"apply", "rotate", "rollback"}:
            words.append("--no-canary")  # one of them shows that it leaves nothing
        said = _run_and_search(ours, watched, needles, words, env)
        assert not needles.found_in(said.encode()), arguments
    forget(rehearsal, new)
    assert watched.noted > 10
    assert not watched.written_elsewhere()


def _first_run(rehearsal: Rehearsal, watched: Watched) -> str:
    """The run that published."""
    return str(json.loads(rehearsal.run(watched.state, "runs", "--json")[1])[-1]["run"])


def _run_and_search(
    rehearsal: Rehearsal, watched: Watched, needles: Needles, arguments: list[str], env: dict[str, str]
) -> str:
    """Run one command, searching all the while and once more at its end; what it said."""
    process = rehearsal.start(watched.state, *arguments, env=env)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.communicate()[0]))
    reader.start()
    while True:
        running = reader.is_alive()
        contents = watched.places(changed=running)
        leaks = {place: found for place, content in contents if (found := needles.found_in(content))}
        assert not leaks, f"during lbsync {' '.join(arguments)}"
        if not running:
            break
        reader.join(0.4)
    # verify may find a server slow on a busy machine (4); what is looked for here is something else.
    assert process.returncode in ({0, 4} if arguments == ["verify"] else {0}), said[0]
    return said[0]


def test_the_search_finds_what_it_looks_for(needles: Needles, rehearsal: Rehearsal, pfx_password: str) -> None:
    """A key in a PEM, in JSON or in base64 of anything, and a password in any usual writing, would be found."""
    pem = rehearsal.farm.leaf.pem()
    assert needles.found_in(pem) == {"private key"}
    assert needles.found_in(json.dumps({"pem": pem.decode()}).encode()) == {"private key"}
    assert needles.found_in(base64.b64encode(b"??" + pem)) == set(), (
        "base64 of base64 is looked for in scripts' parameters only"
    )
    for form in (pfx_password, pfx_password.encode().hex(), base64.b64encode(f"user:{pfx_password}".encode()).decode()):
        assert needles.found_in(f"some text {form} and more".encode()) == {"PFX password"}
    assert needles.found_in(rehearsal.farm.password.encode("utf-16-le")) == {"WinRM password"}
    assert (
        needles.found_in(rehearsal.farm.leaf.public_pem() if hasattr(rehearsal.farm.leaf, "public_pem") else b"")
        == set()
    )
