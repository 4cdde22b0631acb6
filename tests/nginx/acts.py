"""What only the tests of a live NGINX go through and look at.

Rule of this file: one act or one look each; what must come of it stands in the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lbsync.model import Action
from lbsync_nginx.layout import Layout
from lbsync_nginx.settings import NginxSettings
from tests.longer import one_now
from tests.nginx.conftest import HTTP, STREAM, VARIABLE, NginxBench

WAYS: dict[str, dict[str, object]] = {"http": HTTP, "variable": HTTP | VARIABLE, "stream": STREAM}
every_way = pytest.mark.parametrize("settings", one_now(WAYS.values()), ids=list(WAYS))
by_reload = pytest.mark.parametrize("settings", one_now([HTTP, STREAM]), ids=["http", "stream"])

_KILLED = """
import json, os, sys
from lbsync.model import Action
from lbsync.target import BalancerSpec
from lbsync_nginx import plugin
spec, settings, action, before = json.load(sys.stdin)
settings["reload"] = ["sh", "-c", f"{before} kill -KILL {os.getpid()}"]
with plugin.open(BalancerSpec.model_validate(spec), settings) as provider:
    provider.perform(Action.model_validate(action), None)
"""


def everything(bench: NginxBench) -> dict[str, tuple[object, ...]]:
    """All that is below our directory and where NGINX's http block includes us: contents, modes, owners, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for folder in (bench.nginx.owned, bench.nginx.http_file.parent):
        for path in sorted(folder.rglob("*")):
            about = path.lstat()
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path)] = (about.st_mode, about.st_uid, about.st_gid, content)
    return found


def certs_of(bench: NginxBench) -> Path:
    """The folder with the certificates."""
    return Path(Layout.of(NginxSettings.model_validate(bench.settings)).certs)


def killed_at_the_reload(bench: NginxBench, action: Action | None, *, after: bool = False) -> None:
    """Another process performs it, and is killed when the files are written and the reload is due, or right ``after`` that."""
    assert action is not None
    told = json.dumps(
        [
            bench.spec.model_dump(mode="json"),
            {**bench.settings, "reload_timeout_s": 0.1},
            action.model_dump(mode="json"),
            f"kill -HUP {bench.nginx.pid};" if after else "",
        ]
    )
    done = subprocess.run([sys.executable, "-c", _KILLED], input=told, text=True, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
