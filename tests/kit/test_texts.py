"""Sealed text files and certificate files, looked at."""

from __future__ import annotations

import pytest

from lbsync.kit.pem_files import leaf_digests
from lbsync.kit.seal import body_of, seal, seal_of
from lbsync.kit.texts import differences, texts_of
from lbsync.testing.ca import TestCA


def test_a_seal_tells_ours_from_an_edited_file() -> None:
    """Absent, intact, edited, somebody else's."""
    text = seal("one\ntwo\n")
    assert [seal_of(item) for item in (None, text, text + "#\n", "one\n")] == ["absent", "intact", "edited", "foreign"]
    assert body_of(text) == "one\ntwo\n"
    assert body_of("foreign\n") == "foreign\n"


def test_a_file_is_known_by_its_first_certificate() -> None:
    """Whatever stands before and after it; what is no certificate is none."""
    bundle = TestCA.new().issue(["mail.contoso.test"], key="ec256")
    found = leaf_digests(b"text\n" + bundle.pem())
    assert found is not None
    assert found[0] == bundle.fingerprint
    assert leaf_digests(b"no certificate") is None
    assert leaf_digests(b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n") is None


def test_differences_leave_out_the_seals() -> None:
    """New, removed, changed and unchanged files, in the order asked for; files nobody asked about are passed over."""
    before = {"kept": seal("a\n"), "changed": seal("a\nb\n"), "gone": seal("a\nb\n"), "other": "x", "never": None}
    after = {"new": seal("a\n"), "kept": seal("a\n"), "changed": seal("a\nc\n"), "gone": None, "never": None}
    assert differences(before, after) == (
        "+ new (1 lines)",
        "--- changed",
        "+++ changed",
        "@@ -2 +2 @@",
        "-b",
        "+c",
        "- gone (2 lines)",
    )


def test_a_long_difference_is_cut() -> None:
    """A plan stays readable."""
    lines = differences({"f": ""}, {"f": "x\n" * 100})
    assert (len(lines), lines[-1]) == (41, "… and 63 lines more")


def test_texts_are_taken_from_a_table_only() -> None:
    """What another provider wrote is not guessed at."""
    assert texts_of({"a": "x", "b": None, "c": 1, "d": "y"}, ["a", "b", "c"]) == {"a": "x", "b": None, "c": None}
    with pytest.raises(TypeError):
        texts_of(None, ["a"])
