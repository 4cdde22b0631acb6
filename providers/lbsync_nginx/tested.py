"""``nginx -T``: whether NGINX would take what is on the disk, what it warns of, and all files it would load.

Rule of this room: one command, its answer as a value. NGINX passes much that is wrong: the warnings count too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbsync.errors import Rejected
from lbsync.kit.host import Completed, Host
from lbsync_nginx.dump import Dump, parse_dump
from lbsync_nginx.layout import Layout
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.version import Version, parse_version

_SAID = re.compile(
    r"^(?:\d{4}/\S+ \S+ )?(?:nginx: )?\[(?P<level>warn|error|crit|alert|emerg)\] (?:\d+#\d+: )?(?P<words>.*)$"
)
_ERROR_LOG = re.compile(r"--error-log-path=(\S+)")
_FATAL = frozenset({"emerg", "alert", "crit"})


@dataclass(frozen=True, slots=True)
class Program:
    """The program on the disk: its version (``None``: unknown) and where it logs unless told otherwise."""

    version: Version | None
    default_error_log: str | None
    said: str


@dataclass(frozen=True, slots=True)
class Tested:
    """One answer of ``nginx -T``. ``dump`` is empty where it failed."""

    passed: bool
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    dump: Dump


def read_program(host: Host, settings: NginxSettings) -> Program:
    """What ``nginx -V`` says. Raises TargetError."""
    done = host.run([settings.nginx, "-V"])
    text = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
    path = _ERROR_LOG.search(text)
    return Program(parse_version(text), path[1] if path else None, text.strip().splitlines()[0] if text.strip() else "")


def read_test(host: Host, settings: NginxSettings) -> Tested:
    """Have NGINX test its configuration and print it. Raises TargetError."""
    return parse_test(host.run(test_command(settings)), settings)


def test_command(settings: NginxSettings) -> list[str]:
    """The command whose answer ``parse_test`` reads."""
    return [settings.nginx, "-T", "-c", settings.config_file]


def parse_test(done: Completed, settings: NginxSettings) -> Tested:
    """What NGINX said of its configuration."""
    lines = [found for line in done.stderr.decode(errors="replace").splitlines() if (found := _SAID.match(line))]
    return Tested(
        passed=done.rc == 0,
        warnings=tuple(found["words"] for found in lines if found["level"] in {"warn", "error"}),
        errors=tuple(found["words"] for found in lines if found["level"] in _FATAL),
        dump=parse_dump(done.stdout.decode(errors="replace"), settings.config_file),
    )


def emergencies(log: str) -> tuple[str, ...]:
    """What an error log says of a master that could not do what it was told, without times and process ids.

    Only [emerg]: a stranger's broken handshake is worth a [crit] to NGINX.
    """
    return _words_of(log, frozenset({"emerg"}))


def errors_in(log: str) -> tuple[str, ...]:
    """Everything from [error] on, for a person to read."""
    return _words_of(log, frozenset({"error", *_FATAL}))


def _words_of(log: str, levels: frozenset[str]) -> tuple[str, ...]:
    found = (_SAID.match(line) for line in log.splitlines())
    return tuple(dict.fromkeys(one["words"] for one in found if one and one["level"] in levels))


def refuse_untested(tested: Tested, home: Layout, before: frozenset[str]) -> None:
    """Raises Rejected (``config``) where NGINX would not take it, or warns of something it did not warn of ``before``."""
    new = [words for words in tested.warnings if words not in before]
    if tested.passed and not new:
        return
    words = "; ".join(tested.errors or tuple(new) or ("no reason was given",))
    raise Rejected(
        f"NGINX does not accept the configuration: {words}",
        where=home.directory,
        state="the files are as they were, NGINX was not reloaded",
        remedy="correct what it names: in its own files, or in lbsync's configuration",
        code="config",
    )
