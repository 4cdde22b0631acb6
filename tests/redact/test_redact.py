"""The redactor: every spelling that a log is likely to carry; and the log lines that go through it."""

from __future__ import annotations

import base64
import json
import logging

import pytest
import structlog
from pydantic import SecretStr

from lbsync.loglines import formatter, through_logging
from lbsync.redact import HIDDEN, Redactor

SECRET = "hunter2-ü/+"


def redactor() -> Redactor:
    """One that knows the secret."""
    known = Redactor()
    assert known.remember("env:PW", SecretStr(SECRET)).get_secret_value() == SECRET
    return known


@pytest.mark.parametrize(
    "text",
    [
        f"password {SECRET}!",
        json.dumps({"password": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        "hunter2-%C3%BC%2F%2B",
        SECRET.encode().hex(),
    ],
)
def test_a_secret_is_hidden_in_every_spelling(text: str) -> None:
    """As it is, escaped in JSON, in base64, in a URL, in hexadecimal."""
    known = redactor()
    assert HIDDEN in known.clean(text)
    assert known.found_in(text) == "the secret env:PW"


def test_private_keys_are_hidden_always() -> None:
    """Whole, and cut off."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----"
    assert Redactor().clean(f"a {key} b") == f"a {HIDDEN} b"
    assert Redactor().clean(key[:40]) == HIDDEN
    assert Redactor().found_in("nothing here") is None


def test_a_tiny_secret_does_not_hide_every_text() -> None:
    """A password of two letters would hide half of every line."""
    known = Redactor()
    known.remember("env:X", SecretStr("ab"))
    assert known.clean("about") == "about"


def test_a_log_line_is_json_without_secrets() -> None:
    """Whatever the event holds: a secret in its words, or an object that JSON does not know."""
    record = logging.LogRecord("lbsync.x", logging.WARNING, "x.py", 1, f"with {SECRET}", None, None)
    line = json.loads(formatter(redactor()).format(record))
    assert (line["event"], line["level"], line["logger"]) == (f"with {HIDDEN}", "warning", "lbsync.x")


def test_a_traceback_has_no_values() -> None:
    """What a variable held is not in it: a password that was just typed is known to no redactor."""
    typed = "just-typed"
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int(typed[:0])
    told = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("lbsync.x", logging.ERROR, "x.py", 1, "failed", None, told)
    line = formatter(Redactor()).format(record)
    assert "ValueError" in line
    assert typed not in line


def test_what_json_does_not_know_is_told_by_its_repr() -> None:
    """A secret hides itself there; the line is written all the same."""
    record = logging.LogRecord(
        "lbsync", logging.INFO, "here", 1, {"event": "seen", "password": SecretStr("hunter2")}, (), None
    )
    record.__dict__["_logger"] = None
    record.__dict__["_name"] = "info"
    line = formatter(Redactor()).format(record)
    assert json.loads(line)["password"] == "SecretStr('**********')"
    assert "hunter2" not in line


def test_what_structlog_is_told_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Through the standard library, so that whatever listens there has both."""
    through_logging()
    try:
        with caplog.at_level(logging.INFO, "lbsync.x"):
            structlog.stdlib.get_logger("lbsync.x").info("seen", of=3)
    finally:
        structlog.reset_defaults()
    (record,) = caplog.records
    line = json.loads(formatter(Redactor()).format(record))
    assert (line["event"], line["of"], line["logger"]) == ("seen", 3, "lbsync.x")
