"""Lines of keys in TOML texts."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbsync.config.locate import Path, line_of, lines


def _paths(value: object, at: Path = ()) -> set[Path]:
    """Every path that the parsed tables hold."""
    found: set[Path] = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= {(*at, str(key))} | _paths(inner, (*at, str(key)))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found |= {(*at, index)} | _paths(inner, (*at, index))
    return found


AWKWARD = '''# a comment with [brackets] = "and more"
top = 1
"quoted.key" = 'a # b'   # not a comment
site."google.com" = true
[a]
  b = """one
two \\""" three""""
c = \'\'\'
it's
\'\'\'
list = [ 1, # comment ]
  "x]", { y = 1, "z" = [2,
  3] },
]
date = 1979-05-27T07:32:00Z
[a.d]
empty = []
table = {}
[[items]]
name = "one"
[[items.sub]]
n = 1
[[items.sub]]
n = 2
[items.plain]
p = 1
[[items]]
name = "two"
[[items.sub]]
n = 3
'''


def test_every_key_is_found_on_its_line() -> None:
    """Strings, comments, nested lists and arrays of tables do not lead the reader astray."""
    found = lines(AWKWARD)
    rows = AWKWARD.splitlines()
    assert set(found) == _paths(tomllib.loads(AWKWARD))
    assert rows[found["a", "c"] - 1].startswith("c =")
    assert rows[found["a", "list", 2, "z", 1] - 1].strip() == "3] },"
    assert rows[found["a", "date"] - 1].startswith("date")
    assert rows[found["items", 1, "name"] - 1] == 'name = "two"'
    assert rows[found["items", 0, "sub", 1, "n"] - 1] == "n = 2"
    assert rows[found["items", 1, "sub", 0, "n"] - 1] == "n = 3"
    assert rows[found["items", 0, "plain", "p"] - 1] == "p = 1"
    assert rows[found["site", "google.com"] - 1].startswith("site.")


def test_windows_line_ends_count_once() -> None:
    """A file written on Windows has the same lines."""
    assert lines("a = 1\r\n\r\n[b]\r\nc = [1,\r\n2]\r\n")["b", "c", 1] == 5


def test_a_missing_key_is_shown_at_its_table() -> None:
    """What is not written down is pointed at where it should have been."""
    found = lines("a = 1\n[b]\nc = 1\n")
    assert line_of(found, ("b", "nothing")) == 2
    assert line_of(found, ("nothing",)) == 1


_SCALARS = st.one_of(
    st.integers(-1000, 1000).map(str),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8).map(
        lambda text: json.dumps(text, ensure_ascii=False)
    ),
    st.sampled_from(["true", "1.5", "'lit # eral'", '"""a\nb"""', "'''x\ny'''", "1979-05-27", "inf"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(lambda items: "[" + ",\n  ".join(items) + "]"),
    max_leaves=5,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.tuples(_VALUES, st.integers(0, 2)), max_size=6))
def test_any_valid_text_is_read_whole(table: dict[str, tuple[str, int]]) -> None:
    """Whatever tomllib accepts, each key it reports has a line, and that line begins with the key."""
    text = "".join(f"{'#' * blank}\n{key} = {value}\n" for key, (value, blank) in table.items())
    found = lines(text)
    rows = text.split("\n")
    assert set(found) == _paths(tomllib.loads(text))
    for key in table:
        assert rows[found[key,] - 1].startswith(f"{key} =")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "a=1"])
def test_small_texts(text: str) -> None:
    """Nothing, and nearly nothing, are texts too."""
    assert set(lines(text)) == _paths(tomllib.loads(text))
