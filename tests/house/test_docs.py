"""What the documents say exists: commands, options, files, and the example configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from lbsync.cli.app import app
from lbsync.config import load

_SPAN = re.compile(r"`(?P<text>[^`\n]+)`")
_LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
# Words that stand for something the reader fills in, and shell syntax around a command.
_END = re.compile(r"\s(?:#|\||>|&&).*$")


class _Command:
    """One command of the program with everything below it."""

    def __init__(self, command: object) -> None:
        self.children = {str(name): _Command(child) for name, child in getattr(command, "commands", {}).items()}
        self.options: set[str] = {"--help", "-h"}
        for parameter in getattr(command, "params", []):
            self.options.update(parameter.opts, parameter.secondary_opts)

    def all_options(self) -> set[str]:
        """Its options and those of every command below it."""
        return self.options.union(*(child.all_options() for child in self.children.values()))


@pytest.fixture(scope="module")
def program() -> _Command:
    """The command tree as typer builds it."""
    return _Command(typer.main.get_command(app))


@pytest.fixture(scope="module")
def documents(files: tuple[Path, ...]) -> dict[Path, str]:
    """Every Markdown file, and the example configuration, whose comments name commands too."""
    named = [path for path in files if path.suffix == ".md" or path.name == "config.example.toml"]
    return {path: path.read_text(encoding="utf-8") for path in named}


def _invocations(text: str) -> Iterator[str]:
    """Every ``lbsync …`` command line in code spans and code blocks."""
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        bare = line.strip().removeprefix("$ ")
        if (fenced or line.startswith("    ")) and bare.startswith("lbsync "):
            yield _END.sub("", bare)
    for span in _SPAN.finditer(text):
        if span["text"].startswith("lbsync "):
            yield _END.sub("", span["text"])


def _unknown(program: _Command, invocation: str) -> str | None:
    """What of a command line does not exist, or ``None``."""
    command, options = program, set(program.options)
    words = invocation.replace("…", "").replace("[", " ").replace("]", " ").split()[1:]
    for alternatives in words:
        if alternatives.startswith("-"):
            if alternatives.split("=")[0] not in options:
                return f"{alternatives} in: {invocation}"
        elif command.children:
            choices = alternatives.split("|")
            if missing := [choice for choice in choices if choice not in command.children]:
                return f"{missing[0]} in: {invocation}"
            command = command.children[choices[0]]
            options |= command.options
    return None


def test_every_command_named_exists(program: _Command, documents: dict[Path, str]) -> None:
    """Each command line in the documents is one that the program takes."""
    named = [invocation for text in documents.values() for invocation in _invocations(text)]
    assert len(named) > 10
    assert not [what for invocation in named if (what := _unknown(program, invocation))]


def test_every_option_named_exists(program: _Command, documents: dict[Path, str]) -> None:
    """Each option named on its own in README or docs belongs to some command of lbsync, make aside."""
    known = program.all_options() | {"--quick", "--universal", "--generate-hashes", "--require-hashes"}
    spans = [span["text"] for text in documents.values() for span in _SPAN.finditer(text)]
    named = {span.split()[0].split("=")[0] for span in spans if span.startswith("--")}
    assert not named - known


def test_a_wrong_command_would_be_found(program: _Command) -> None:
    """The judge itself can say no."""
    assert _unknown(program, "lbsync aply")
    assert _unknown(program, "lbsync plan --no-such-option")
    assert _unknown(program, "lbsync lab up|sideways")
    assert not _unknown(program, "lbsync apply --confirm-within 10m")


def test_links_lead_somewhere(documents: dict[Path, str]) -> None:
    """Each relative link in a document leads to a file or folder of this repository."""
    broken = [
        f"{path.name}: {match['target']}"
        for path, text in documents.items()
        for match in _LINK.finditer(text)
        if "://" not in match["target"] and not (path.parent / match["target"]).exists()
    ]
    assert not broken


def test_make_targets_named_exist(documents: dict[Path, str], root: Path) -> None:
    """Each make target that a document names is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        name for text in documents.values() for name in re.findall(r"(?:`|^ {4})make ([a-z]+)", text, re.MULTILINE)
    }
    assert {"demo", "test"} <= named
    assert not named - targets


def test_the_example_configuration_loads(root: Path) -> None:
    """config.example.toml is a configuration without a fault."""
    path = root / "config.example.toml"
    assert load(path.read_text(encoding="utf-8"), file=path.name, base=root).config.version == 1
