"""The tables [[service.notices]]: addresses are references, names are used once."""

from __future__ import annotations

import pytest

from lbsync.config import BrokenConfig, load_service

TABLE = '[[service.notices]]\nname = "{}"\nurl = "{}"\n'


def test_a_target_is_told_everything_by_default() -> None:
    """Of every farm, however bad."""
    (one,) = load_service(TABLE.format("team", "env:URL")).notices
    assert (len(one.kinds), one.namespaces, one.min_level) == (8, ("*",), "ok")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TABLE.format("a", "env:A") + TABLE.format("A", "env:B"), "used twice"),
        (TABLE.format("a", "slack://T0KEN/in/plain"), "must be a reference to the secret"),
    ],
)
def test_what_cannot_be_is_refused(text: str, told: str) -> None:
    """At its line, and without repeating what may be a secret."""
    with pytest.raises(BrokenConfig) as caught:
        load_service(text)
    assert told in str(caught.value.problems[0])
    assert "T0KEN" not in str(caught.value.problems)
