"""What `nginx -T` prints, understood: files, directives, includes; and what NGINX says of itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.host import Completed
from lbsync.kit.host_local import LocalHost
from lbsync_nginx import tested
from lbsync_nginx.dump import Directive, Dump, Include, parse_dump, tree_of
from lbsync_nginx.errorlog import errors_since, log_path
from lbsync_nginx.layout import Layout
from lbsync_nginx.process import Workers
from lbsync_nginx.reloading import LogMark
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.unloaded import not_loaded
from lbsync_nginx.version import OLDEST, Version, parse_version, version_of
from tests.nginx.conftest import NginxBench
from tests.nginx.samples import HTTP

MAIN = "/etc/nginx/nginx.conf"


def printed(files: dict[str, str]) -> str:
    """As NGINX prints them."""
    return "".join(f"# configuration file {path}:\n{text}\n" for path, text in files.items())


def read(files: dict[str, str]) -> tuple[tuple[Directive, ...], tuple[Include, ...]]:
    """The tree of files, the first being the main one."""
    return tree_of(parse_dump(printed(files), next(iter(files))))


def names(tree: tuple[Directive, ...]) -> list[str]:
    """Every directive's name with its place, blocks before what stands in them."""
    found: list[str] = []
    for one in tree:
        found.append(f"{one.name} {' '.join(one.args)}".strip())
        found += [f"{one.name}/{inner}" for inner in names(one.block or ())]
    return found


def test_the_files_come_back_as_they_are() -> None:
    """With their last line ends, and with what looks like something else in them."""
    files = {MAIN: "http {}\n", "/etc/nginx/mime.types": "", "/etc/x.conf": "# configuration\n\n\nx;"}
    dump = parse_dump(printed(files), MAIN)
    assert dict(dump.files) == files
    assert dump.main == MAIN


def test_what_was_given_and_what_was_printed_may_differ() -> None:
    """A main file under another name is the first one; nothing printed is nothing."""
    assert parse_dump(printed({"/other.conf": "x;"}), MAIN).main == "/other.conf"
    assert parse_dump("", MAIN) == Dump({}, MAIN)
    assert parse_dump("nginx: the configuration file is broken\n", MAIN).files == {}
    assert tree_of(parse_dump("", MAIN)) == ((), ())


def test_a_file_that_is_printed_twice_counts_once() -> None:
    """The first time."""
    assert parse_dump(printed({"/a": "x;"}) + printed({"/a": "y;"}), "/a").files == {"/a": "x;"}


def test_the_digest_is_that_of_the_others_files() -> None:
    """Ours may change, theirs may not, and their order means nothing."""
    one = parse_dump(printed({MAIN: "a;", "/x": "b;", "/ours": "c;"}), MAIN)
    other = parse_dump(printed({MAIN: "a;", "/ours": "d;", "/x": "b;"}), MAIN)
    changed = parse_dump(printed({MAIN: "a;", "/x": "B;", "/ours": "c;"}), MAIN)
    moved = parse_dump(printed({MAIN: "a;", "/y": "b;", "/ours": "c;"}), MAIN)
    assert one.digest(["/ours"]) == other.digest(["/ours"]) == other.digest(["/ours", "/none"])
    assert len({one.digest(["/ours"]), changed.digest(["/ours"]), moved.digest(["/ours"]), one.digest([])}) == 4


def test_directives_are_told_with_their_places() -> None:
    """Blocks in blocks, several on a line, one over several lines."""
    tree, _ = read({MAIN: "user www;\nhttp { a 1; b {\n c; }\n}\nlog_format x\n  'y'\n  z;\n"})
    assert names(tree) == ["user www", "http", "http/a 1", "http/b", "http/b/c", "log_format x y z"]
    assert [one.where for one in tree] == [f"{MAIN} line 1", f"{MAIN} line 2", f"{MAIN} line 5"]
    assert tree[0].block is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("# a;\nb; # c;\n", ["b"]),
        ("a \"b;c\" 'd}e';", ["a b;c d}e"]),
        ('a "#b"; c;', ["a #b", "c"]),
        ('"}" x;', ["} x"]),
        ('map $a $b { "~^x{2}$" 1; default ""; }', ["map $a $b", "map/~^x{2}$ 1", "map/default"]),
        ('a "it\'s"; b;', ["a it's", "b"]),
        ("a b\\;c;", ["a b\\;c"]),
        ("if ($a = b) { return 404; }", ["if ($a = b)", "if/return 404"]),
        ("content_by_lua_block { x = '}' }", ["content_by_lua_block  x = '}'"]),
        ("", []),
        ("# nothing", []),
        ("a; b c", ["a", "b"]),
    ],
)
def test_quotes_and_comments_hide_what_they_hold(text: str, wanted: list[str]) -> None:
    """A brace, a semicolon, a hash in them ends nothing."""
    assert names(read({MAIN: text})[0]) == wanted


@pytest.mark.parametrize("text", ["http {", "http { a; } }", "}"])
def test_what_is_no_configuration_is_told_with_its_file(text: str) -> None:
    """Without a word of it, since it may hold secrets."""
    with pytest.raises(ValueError, match=MAIN) as caught:
        read({MAIN: f"password secret;\n{text}"})
    assert "secret" not in str(caught.value)


def test_includes_are_followed_where_they_stand() -> None:
    """In any block, several files by one mask in their order, relative to the main file, and included ones further."""
    tree, includes = read(
        {
            MAIN: "include modules/*.conf; http { include conf.d/*.conf; server { include snippets/tls; } } include mail;",
            "/etc/nginx/modules/x.conf": "load_module x;",
            "/etc/nginx/conf.d/b.conf": "server { b; }",
            "/etc/nginx/conf.d/a.conf": "server { include /etc/nginx/snippets/tls; }",
            "/etc/nginx/snippets/tls": "ssl on;",
            "/etc/nginx/conf.d/deeper/c.conf": "never;",
        }
    )
    assert names(tree) == [
        "load_module x",
        "http",
        "http/server",
        "http/server/ssl on",
        "http/server",
        "http/server/b",
        "http/server",
        "http/server/ssl on",
    ]
    assert includes == (
        Include("/etc/nginx/modules/*.conf", ()),
        Include("/etc/nginx/conf.d/*.conf", ("http",)),
        Include("/etc/nginx/snippets/tls", ("http", "server")),
        Include("/etc/nginx/snippets/tls", ("http", "server")),
        Include("/etc/nginx/mail", ()),
    )
    assert tree[1].block is not None
    assert tree[1].block[0].where == "/etc/nginx/conf.d/a.conf line 1"


def test_includes_in_a_circle_end() -> None:
    """NGINX would refuse them too, but only when it is asked."""
    with pytest.raises(ValueError, match="circle"):
        read({MAIN: "include b;", "/etc/nginx/b": "include nginx.conf;"})


def test_a_broken_file_names_itself() -> None:
    """Not the one that includes it."""
    with pytest.raises(ValueError, match="/etc/nginx/b"):
        read({MAIN: "include b;", "/etc/nginx/b": "x {"})


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("/e/conf.d/*.conf", "/e/conf.d/lbsync.conf", True),
        ("/e/conf.d/*.conf", "/e/conf.d/.lbsync.conf", False),
        ("/e/conf.d/.*.conf", "/e/conf.d/.lbsync.conf", True),
        ("/e/conf.d/*", "/e/conf.d/lbsync.conf", True),
        ("/e/conf.d/*", "/e/conf.d/x/lbsync.conf", False),
        ("/e/*/lbsync.conf", "/e/conf.d/lbsync.conf", True),
        ("/e/*/lbsync.conf", "/e/.git/lbsync.conf", False),
        ("/e/conf.d/lbsync.conf", "/e/conf.d/lbsync.conf", True),
        ("/e/conf.d/[a-m]*.conf", "/e/conf.d/lbsync.conf", True),
        ("/e/conf.d/[!l]*.conf", "/e/conf.d/lbsync.conf", False),
        ("/e/conf.d/lbsync.con?", "/e/conf.d/lbsync.conf", True),
        ("/e/conf.d/*.CONF", "/e/conf.d/lbsync.conf", False),
        ("/e/*.conf", "/e/conf.d/lbsync.conf", False),
    ],
)
def test_a_mask_covers_what_glob_would_find(pattern: str, path: str, covered: bool) -> None:
    """So that it is known before a file is there whether it would be loaded."""
    assert Include(pattern, ("http",)).covers(path) is covered


def test_what_nginx_prints_is_read(bench: NginxBench) -> None:
    """The real program's own words: every file, and a tree with the administrator's server in it."""
    (bench.nginx.http_file.parent / "theirs.conf").write_text(
        f"server {{ listen {bench.nginx.address}:{bench.nginx.own_port}; server_name theirs.test; }}\n"
    )
    found = tested.read_test(LocalHost(), NginxSettings.model_validate(bench.settings))
    assert (found.passed, found.errors) == (True, ())
    assert set(found.dump.files) == {str(bench.nginx.main), str(bench.nginx.http_file.parent / "theirs.conf")}
    tree, includes = tree_of(found.dump)
    assert {"http/server/server_name admin.own.test", "http/server/server_name theirs.test"} <= set(names(tree))
    assert {one.within for one in includes} == {("http",), ("stream",)}
    assert log_path(tree, None) == str(bench.nginx.directory / "error.log")


def test_what_nginx_refuses_is_read(bench: NginxBench) -> None:
    """Its reason, and no configuration; a warning by itself passes."""
    theirs = bench.nginx.http_file.parent / "theirs.conf"
    settings = NginxSettings.model_validate(bench.settings)
    place = f"{bench.nginx.address}:{bench.nginx.own_port}"
    theirs.write_text(f"server {{ listen {place}; no_such_word; }}\n")
    found = tested.read_test(LocalHost(), settings)
    assert found.passed is False
    assert any("no_such_word" in words for words in found.errors)
    twice = f"server {{ listen {place}; server_name a.test; }}\n"
    theirs.write_text(twice * 2)
    found = tested.read_test(LocalHost(), settings)
    assert found.passed is True
    (warning,) = found.warnings
    assert warning.startswith('conflicting server name "a.test"')


def test_the_program_tells_its_version_and_its_log(bench: NginxBench) -> None:
    """As its own command line says it."""
    program = tested.read_program(LocalHost(), NginxSettings.model_validate(bench.settings))
    assert program.version is not None
    assert program.version.numbers == bench.nginx.version
    told = subprocess.run([bench.nginx.program, "-V"], capture_output=True, text=True, check=True).stderr
    assert program.said == told.splitlines()[0]
    assert program.default_error_log is None or f"--error-log-path={program.default_error_log}" in told


def test_a_program_that_says_nothing_is_a_value() -> None:
    """No version, no log, no words."""
    program = tested.read_program(LocalHost(), NginxSettings(nginx="/bin/true"))
    assert (program.version, program.default_error_log, program.said) == (None, None, "")


SAID = """\
2026/11/27 00:01:58 [emerg] 71#71: bind() to 0.0.0.0:443 failed (98: Address already in use)
2026/11/27 00:01:59 [emerg] 72#72: bind() to 0.0.0.0:443 failed (98: Address already in use)
2026/11/27 00:01:59 [alert] 71#71: worker process 9 exited on signal 11
2026/11/27 00:02:00 [crit] 73#73: *1 SSL_do_handshake() failed while SSL handshaking, client: 192.0.2.1
2026/11/27 00:02:00 [error] 73#73: *1 connect() failed while connecting to upstream
2026/11/27 00:02:01 [warn] 73#73: a warning
2026/11/27 00:02:01 [notice] 71#71: signal process started
nginx: [emerg] unknown directive "x" in /etc/nginx/nginx.conf:1
not a line of NGINX's [emerg]
"""


def test_a_log_is_read_for_what_failed() -> None:
    """Each reason once, without times and process ids; a stranger's broken handshake is no failed reload."""
    bind = "bind() to 0.0.0.0:443 failed (98: Address already in use)"
    unknown = 'unknown directive "x" in /etc/nginx/nginx.conf:1'
    assert tested.emergencies(SAID) == (bind, unknown)
    assert len(tested.errors_in(SAID)) == 5
    assert tested.emergencies("") == tested.errors_in("") == ()


class Deaf(LocalHost):
    """A host that takes no commands any more."""

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002
        """As a connection that is gone has it."""
        raise Unreachable("the connection is gone", where=self.name)


def test_a_log_is_read_from_a_mark(tmp_path: Path) -> None:
    """What stood there before is not told again; no file is no news."""
    log = tmp_path / "error.log"
    log.write_text(SAID, encoding="utf-8")
    first, *rest = SAID.splitlines(keepends=True)
    told = errors_since(LocalHost(), LogMark(str(log), len(first)))
    assert told == tuple(words.partition(", client:")[0] for words in tested.errors_in("".join(rest)))
    assert errors_since(LocalHost(), LogMark(str(log), len(SAID))) == ()
    assert errors_since(LocalHost(), LogMark(None)) == ()
    assert errors_since(LocalHost(), LogMark(f"{tmp_path}/none.log")) == ()
    assert errors_since(Deaf(), LogMark(str(log))) == ()


@pytest.mark.parametrize(
    ("text", "default", "path"),
    [
        ("error_log /var/log/a notice; error_log /var/log/b;", None, "/var/log/b"),
        ("http { error_log /var/log/http; }", "/var/log/default", "/var/log/default"),
        ("error_log stderr;", "/var/log/default", None),
        ("error_log syslog:server=192.0.2.1;", None, None),
        ("error_log logs/error.log;", None, None),
        ("", "stderr", None),
        ("", None, None),
        ("error_log;", "/x", "/x"),
    ],
)
def test_the_masters_log_is_found(text: str, default: str | None, path: str | None) -> None:
    """The last one outside every block, else the program's own; what is no file with a full path is none."""
    assert log_path(read({MAIN: text})[0], default) == path


def answer(rc: int, *stderr: str) -> tested.Tested:
    """What NGINX's test came to."""
    return tested.parse_test(Completed(rc, b"", "\n".join(stderr).encode()), HTTP)


@pytest.mark.parametrize(
    ("found", "before", "words"),
    [
        (
            answer(1, "nginx: [emerg] unknown directive in /x:1", "nginx: configuration file /x test failed"),
            (),
            "unknown directive",
        ),
        (answer(1), (), "no reason was given"),
        (answer(0, "nginx: [warn] conflicting server name"), (), "conflicting server name"),
        (answer(0, "nginx: [warn] one", "nginx: [warn] two"), ("one",), "two"),
    ],
)
def test_what_nginx_would_not_take_is_refused(found: tested.Tested, before: tuple[str, ...], words: str) -> None:
    """Errors, and warnings that were not there before: a server name that conflicts is a warning and never served."""
    with pytest.raises(Rejected, match=words) as caught:
        tested.refuse_untested(found, Layout.of(HTTP), frozenset(before))
    assert caught.value.code == "config"
    assert "one" not in before or "one;" not in caught.value.message


def test_what_nginx_takes_as_before_is_not_refused() -> None:
    """Old warnings are the administrator's."""
    tested.refuse_untested(answer(0, "nginx: configuration file /x test is successful"), Layout.of(HTTP), frozenset())
    tested.refuse_untested(answer(0, "nginx: [warn] one"), Layout.of(HTTP), frozenset({"one"}))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("nginx version: nginx/1.22.1", Version((1, 22, 1))),
        ("nginx version: nginx/1.18.0 (Ubuntu)\nbuilt with OpenSSL", Version((1, 18, 0))),
        ("nginx version: nginx/1.25.3 (nginx-plus-r31)", Version((1, 25, 3), plus=True)),
        ("nginx version: openresty/1.21.4.1", Version((1, 21, 4))),
        ("nginx version: nginx/unknown", None),
        ("", None),
    ],
)
def test_a_version_is_read(text: str, wanted: Version | None) -> None:
    """From what `nginx -v` says, the commercial one told apart."""
    assert parse_version(text) == wanted


def test_a_version_survives_the_facts() -> None:
    """As text and back; without one, the oldest is written for."""
    for version in (Version((1, 22, 1)), Version((1, 27, 2), plus=True)):
        assert version_of(version.text) == version
    assert Version((1, 27, 2), plus=True).text == "1.27.2-plus"
    assert version_of("") == Version(OLDEST)
    assert [Version(numbers).supported for numbers in ((1, 21, 6), OLDEST, (1, 22, 1))] == [False, True, True]
    for text in ("1.22", "one.two.three", "1.22.1.4"):
        with pytest.raises(ValueError, match=r"values|literal"):
            version_of(text)


def test_what_other_sites_clients_sent_is_not_repeated(tmp_path: Path) -> None:
    """Their requests may hold a token, their headers control characters; a broken handshake is told without its client."""
    log = tmp_path / "error.log"
    log.write_text(
        '2026/01/01 00:00:00 [error] 1#1: *1 open() "/x" failed, client: 192.0.2.1, request: "GET /reset?token=hunter2"\n'
        "2026/01/01 00:00:00 [crit] 1#1: *2 SSL_do_handshake() failed, client: 192.0.2.1, server: 0.0.0.0:443\n"
        "2026/01/01 00:00:00 [emerg] 1#1: odd \x1b[31mwords\n",
        encoding="utf-8",
    )
    told = errors_since(LocalHost(), LogMark(str(log)))
    assert told == ("*2 SSL_do_handshake() failed", "odd ?[31mwords")


HOME = Layout("/etc/nginx/lbsync", "/etc/nginx/conf.d/lbsync.conf")


def test_only_what_changed_since_the_workers_started_is_not_loaded(tmp_path: Path) -> None:
    """A file by its own time and its link's, however it came here; the folder of a mask by its names; ours never."""
    old, new, sites = tmp_path / "old.conf", tmp_path / "new.conf", tmp_path / "sites"
    sites.mkdir()
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    link = sites / "link.conf"
    link.symlink_to(old)
    dump = Dump({str(path): "" for path in (old, new, link)} | {HOME.http_file: ""}, str(old))
    includes = [Include(f"{sites}/*.conf", ("http",)), Include("/etc/nginx/conf.d/*.conf", ("http",))]
    long_ago, later, never = (Workers(frozenset({1}), frozenset(), at) for at in (1000.0, time.time() + 3600, None))
    assert set(not_loaded(LocalHost(), HOME, dump, includes, long_ago)) == {str(p) for p in (old, new, link, sites)}
    assert not_loaded(LocalHost(), HOME, dump, includes, later) == ()
    assert not_loaded(LocalHost(), HOME, dump, includes, never) == ()
    assert not_loaded(LocalHost(), HOME, dump, includes, None) == ()
    assert not_loaded(Deaf(), HOME, dump, includes, long_ago) == ()
