"""The PowerShell files: they parse, stay on the floor of 4.0, and hold to the room's rules."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from lbsync.exchange import scripts
from lbsync.exchange.scripts import ScriptName

FOLDER = Path(scripts.__file__).parent
FILES = sorted(FOLDER.glob("*.ps1"))
EXCHANGE_TIER = (
    "farm-facts",
    "set-outlook-anywhere",
    "export-certificate",
    "import-certificate",
    "enable-certificate",
    "new-certificate-request",
    "complete-certificate-request",
    "certificate-uses",
    "remove-certificate",
)
PREFIX = re.compile(r"# >>> inner session.*?# <<< inner session\n", re.DOTALL)

# Each would run where a reviewer does not see it, go round RBAC, leave a secret in a log, or need a newer PowerShell.
FORBIDDEN_COMMANDS = {
    "add-pssnapin",
    "connect-exchangeserver",
    "convertto-securestring",
    "iex",
    "iisreset",
    "invoke-expression",
    "invoke-webrequest",
    "out-file",
    "set-content",
    "start-process",
    "write-host",
    "write-output",
}
NEWER_THAN_4 = {
    "static new": re.compile(r"\]::new\(", re.IGNORECASE),
    "byte stream": re.compile(r"-AsByteStream", re.IGNORECASE),
    "null coalescing": re.compile(r"\?\?"),
    "ternary": re.compile(r"\?\s[^|{}\n]+\s:\s"),
    "null conditional": re.compile(r"\$\{?\w+\}?\?\."),
    "pipeline chain": re.compile(r"&&|\|\|"),
    "class": re.compile(r"^\s*(class|enum|using)\s", re.IGNORECASE | re.MULTILINE),
}


@cache
def tree(file: Path) -> Node:
    """The root node of a script."""
    return Parser(Language(tree_sitter_powershell.language())).parse(file.read_bytes()).root_node


def nodes(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def code(file: Path) -> str:
    """A script without its comments."""
    text = file.read_bytes()
    for node in nodes(tree(file)):
        if node.type == "comment":
            text = text[: node.start_byte] + b" " * (node.end_byte - node.start_byte) + text[node.end_byte :]
    return text.decode()


def commands(file: Path) -> list[str]:
    """The commands a script runs, lower case."""
    names = [node for node in nodes(tree(file)) if node.type == "command_name"]
    return [node.text.decode().lower() for node in names if node.text]


def test_every_named_script_has_its_file_and_no_other_lies_there() -> None:
    """The names that may be run, the files, and the table of the README are the same set."""
    named = set(get_args(ScriptName))
    assert {file.stem for file in FILES} == named | {"bootstrap"}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {name for name in named if f"{name}" in readme} == named


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_sent_is_the_file(file: Path) -> None:
    """The text sent is the file's, byte for byte, line ends bare and nothing but ASCII."""
    name: ScriptName = file.stem  # type: ignore[assignment]  # the test above holds the names to the files
    assert scripts.text(name).encode() == file.read_bytes()
    assert b"\r" not in file.read_bytes()
    assert file.read_bytes().isascii()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_parses(file: Path) -> None:
    """The grammar finds no error and nothing missing."""
    broken = [node for node in nodes(tree(file)) if node.type == "ERROR" or node.is_missing]
    assert [(node.start_point, node.text) for node in broken] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_try_is_whole(file: Path) -> None:
    """The grammar lets a ``try`` without catch and finally pass, PowerShell does not."""
    for node in nodes(tree(file)):
        if node.type == "try_statement":
            assert {"catch_clauses", "finally_clause"} & {child.type for child in node.children}, node.start_point


@pytest.mark.parametrize("rule", NEWER_THAN_4)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_newer_than_powershell_4(file: Path, rule: str) -> None:
    """Server 2012 R2 runs them."""
    assert NEWER_THAN_4[rule].search(code(file)) is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_forbidden_command(file: Path) -> None:
    """No snap-in, no code from text, no file written, nothing printed by the way, no secret as a cmdlet's argument."""
    assert FORBIDDEN_COMMANDS.intersection(commands(file)) == set()
    assert "asplaintext" not in code(file).lower()


def test_only_the_bootstrap_makes_code_from_text() -> None:
    """``[ScriptBlock]::Create`` stands in the bootstrap, once, for the script that came on stdin."""
    found = {file.stem: code(file).lower().count("scriptblock]::create") for file in FILES}
    assert {name: count for name, count in found.items() if count} == {"bootstrap": 1}


def test_the_back_end_is_never_written() -> None:
    """No script names the site Exchange Back End, and one alone writes to IIS."""
    assert [file.stem for file in FILES if "back end" in code(file).lower()] == []
    writers = {"set-webconfigurationproperty", "clear-webconfiguration", "restart-webapppool"}
    assert [file.stem for file in FILES if writers.intersection(commands(file))] == ["set-require-ssl"]


def test_no_enabling_asks_a_question_or_requires_ssl() -> None:
    """IIS, then what was named: without -Force SMTP asks and hangs the session, without the other one sslFlags change."""
    text = code(FOLDER / "enable-certificate.ps1")
    lines = [line for line in text.splitlines() if "Enable-ExchangeCertificate -" in line]
    assert [re.findall(r"-Services\s+(\S+)", line) for line in lines] == [["'IIS'"], ["$one['service']"]]
    assert all("-DoNotRequireSsl -Force" in line for line in lines)


def test_only_smtp_imap_and_pop_may_be_named() -> None:
    """What is none of them is refused before the first cmdlet; IMAP and POP are restarted, and only where they run."""
    text = code(FOLDER / "enable-certificate.ps1")
    table = re.search(r"\$windowsServices = @\{(.*?)\n\}", text, re.DOTALL)
    assert table is not None
    assert re.findall(r"^\s+(\w+)\s*=", table[1], re.MULTILINE) == ["SMTP", "IMAP", "POP"]
    assert re.findall(r"'(\w+)'", table[1]) == [
        "MSExchangeIMAP4",
        "MSExchangeIMAP4BE",
        "MSExchangePOP3",
        "MSExchangePOP3BE",
    ]
    assert text.index('throw "refused') < text.index("Open-Exchange $p")
    assert text.index("-ne 'Running') { continue }") < text.index("Restart-Service")
    assert [file.stem for file in FILES if "restart-service" in commands(file)] == ["enable-certificate"]


@pytest.mark.parametrize("file", [file for file in FILES if file.stem != "bootstrap"], ids=lambda file: file.stem)
def test_each_takes_its_parameters_and_says_what_it_is(file: Path) -> None:
    """A script begins with its name and tier, then ``param($p)``."""
    lines = file.read_text(encoding="ascii").splitlines()
    tier = "exchange" if file.stem in EXCHANGE_TIER else "local"
    assert lines[0].startswith(f"# {file.stem} ({tier} tier):")
    assert "param($p)" in lines[:5]


def test_the_inner_session_is_the_same_in_every_script() -> None:
    """The lines that open the inner session are equal in all scripts of that tier, and in no other."""
    found = {file.stem: PREFIX.findall(file.read_text(encoding="ascii")) for file in FILES}
    assert {name for name, blocks in found.items() if blocks} == set(EXCHANGE_TIER)
    assert len({block for blocks in found.values() for block in blocks}) == 1
    assert {len(blocks) for name, blocks in found.items() if name in EXCHANGE_TIER} == {1}


def test_the_inner_session_is_closed() -> None:
    """Every script that opens an inner session closes it in a finally."""
    for name in EXCHANGE_TIER:
        text = code(FOLDER / f"{name}.ps1")
        assert text.count("Open-Exchange $p['exchange']") == 1
        assert len(re.findall(r"finally\s*\{\s*Remove-PSSession -Session \$session\s*\}", text)) == 1


def test_the_bootstrap_fits_a_command_line() -> None:
    """Encoded, with the program's other arguments, it stays below the 32,767 characters of CreateProcess."""
    encoded = base64.b64encode(scripts.text("bootstrap").encode("utf-16-le"))
    assert len(encoded) + 200 < 32_767


def test_powershell_itself_parses_them(require: Callable[[str], None]) -> None:
    """PowerShell's own parser finds no error in any of them."""
    require("pwsh")
    pwsh = shutil.which("pwsh")
    assert pwsh is not None
    ask = (
        "$errors = $null; $bad = 0; foreach ($file in $args) { "
        "[void][Management.Automation.Language.Parser]::ParseFile($file, [ref]$null, [ref]$errors); $bad += $errors.Count }; "
        "$bad"
    )
    done = subprocess.run(
        [pwsh, "-NoProfile", "-NonInteractive", "-Command", f"& {{ {ask} }}", *map(str, FILES)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "0"
