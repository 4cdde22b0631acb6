"""The tree keeps its own rules: what may not be in it, how long a file may be, that each room says what it is for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

# Written so that this file does not find itself.
_FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:w[o]rk|h[o]me/\w+|r[o]ot|U[s]ers/\w+)/"),
    "the address of a package registry": re.compile(r"p[y]pi\.org|p[y]thonhosted|n[p]mjs\.org|index-url[ =]+\S*://"),
    "work left open": re.compile(r"# ?(?:T[O]DO|F[I]XME|X[X]X)\b"),
}
_LONGEST, _LONGEST_TEST = 350, 500


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_nothing_speaks_of_one_machine(files: tuple[Path, ...], root: Path) -> None:
    """No file names a path of one machine, a package registry's address, or work left open."""
    found = [
        f"{path.relative_to(root)}: {what}: {match.group()}"
        for path in files
        for what, pattern in _FORBIDDEN.items()
        if (text := _text(path)) is not None
        for match in pattern.finditer(text)
    ]
    assert not found


def test_files_stay_short(sources: tuple[Path, ...], root: Path) -> None:
    """No Python file grows beyond what one reads in one sitting."""
    lengths = {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    longest = {name: _LONGEST_TEST if name.startswith("tests/") else _LONGEST for name in lengths}
    assert not {name: length for name, length in lengths.items() if length > longest[name]}


def test_every_module_says_what_it_is_for(sources: tuple[Path, ...], root: Path) -> None:
    """Each Python file opens with a docstring."""
    silent = [
        str(path.relative_to(root))
        for path in sources
        if (text := path.read_text(encoding="utf-8")).strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert not silent


def test_containers_are_no_packages(root: Path) -> None:
    """providers/ and certs/ hold packages with names of their own and are none themselves."""
    assert not [name for name in ("providers", "certs", "tests") if (root / name / "__init__.py").exists()]


def test_every_package_is_typed(root: Path) -> None:
    """Each package that is shipped carries py.typed, so that a provider's author is type-checked against it."""
    packages = [root / "lbsync", root / "certs" / "lbsync_certs", *(root / "providers").glob("lbsync_*")]
    assert not [str(package) for package in packages if not (package / "py.typed").is_file()]
