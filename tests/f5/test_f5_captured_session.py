"""What was captured from a real BIG-IP, met by the session: its refusals, a login, a transaction, an upload."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
import responses
from pydantic import SecretStr

from lbsync.errors import Denied, Rejected, TargetError, Unreachable
from lbsync_f5 import things
from lbsync_f5.session import Address, Session
from lbsync_f5.session.adapter import Patience
from lbsync_f5.session.failures import refused
from lbsync_f5.wire import items
from tests.f5.captured import BY_HAND, NEW, OLD, Json, answered, load


@pytest.fixture(autouse=True)
def _data(require: Callable[[str], None]) -> None:
    require("data")


# --- errors -----------------------------------------------------------------------------------------------------------

ERRORS = f"{BY_HAND}/errors.json"
_CODES = ["01070317", "01070317", "01070277", "01b4002a", "01070320", "400", "not_found", "token_limit", "406"]


def error_for(entry: Json) -> TargetError:
    """What lbsync makes of an entry of errors.json."""
    return refused("https://bigip:443", answered(entry["status"], entry["body"]))


def test_every_refusal_keeps_the_words_and_the_id_of_the_device() -> None:
    """With its own error id as the code, also behind ``transaction failed:``."""
    found = [(entry, error_for(entry)) for entry in load(ERRORS)]
    said_no = [(entry, error) for entry, error in found if entry["status"] != 503]
    assert [error.code for _, error in said_no] == _CODES
    for entry, error in said_no:
        assert isinstance(error, Rejected)
        assert entry["body"]["message"] in error.message
        assert error.where == "https://bigip:443"


def test_a_busy_or_restarting_device_is_no_refusal() -> None:
    """It answers 503 in JSON, or with a page: later it will do what it is asked."""
    busy, page = [error_for(entry) for entry in load(ERRORS) if entry["status"] == 503]
    assert (type(busy), busy.code) == (type(page), page.code) == (Unreachable, "busy")
    assert "There is an active asynchronous task executing." in busy.message
    html = refused("x", answered(200, "<html><title>Configuration Utility restarting...</title></html>"))
    assert (type(html), html.code) == (Unreachable, "busy")
    assert "an HTML page" in html.message


def test_refusals_that_have_a_way_out_tell_it() -> None:
    """Where lbsync or its operator can do something."""
    remedies = [error.remedy for entry in load(ERRORS) if isinstance(error := error_for(entry), Rejected)]
    assert "do not belong together" in remedies[0]
    assert "not there any more" in remedies[2]
    assert "an account of its own" in remedies[7]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "words"),
    [
        (401, {"message": "Authentication failed."}, Denied, "unauthorized", "Authentication failed."),
        (403, {"message": "user is not authorized"}, Denied, "forbidden", "may not do this"),
        (404, "", Rejected, "not_found", "no reason was given"),
        (
            409,
            {"message": "01020066:3: The requested Pool (/Common/p) already exists"},
            Rejected,
            "exists",
            "already exists",
        ),
        (500, "<HTML><body>oops</body></HTML>", Unreachable, "busy", "an HTML page"),
        (400, ["x"], Rejected, "400", "no reason was given"),
        (400, {"message": None}, Rejected, "400", "no reason was given"),
    ],
)
def test_other_answers_are_told_apart_by_their_status(
    status: int, body: Any, kind: type[TargetError], code: str, words: str
) -> None:
    """Denied is never tried again; what is there already, or not, has a code that callers go by."""
    error = refused("https://bigip:443", answered(status, body))
    assert (type(error), error.code) == (kind, code)
    assert words in error.message


# --- through the session ----------------------------------------------------------------------------------------------

URL = "https://bigip.contoso.test:443/mgmt"


@pytest.fixture
def wire() -> Generator[responses.RequestsMock]:
    """A device whose login and version are those that were captured."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(f"{URL}/shared/authn/login", json=load(f"{BY_HAND}/login_200.json"))
        mock.get(f"{URL}/tm/sys/", json=load(f"{OLD}/sys_GET.json"))
        mock.delete(f"{URL}/shared/authz/tokens/FZ42XIKJMI6UGXDD7I3VU52EUY", json={})
        yield mock


@pytest.fixture
def session(wire: responses.RequestsMock) -> Generator[Session]:
    """Logged in to it."""
    address = Address(
        "bigip.contoso.test", 443, "admin", SecretStr("not the password"), "tmos", True, None, Patience(1, 1, 0)
    )
    session = Session(address)
    yield session
    session.close()


def test_the_login_that_was_captured_gives_a_token(session: Session, wire: responses.RequestsMock) -> None:
    """It goes with each request after it and is given back at the end; the version stands in the first answer."""
    assert session.version == "11.6.0"
    session.close()
    sent = [(call.request.method, call.request.headers.get("X-F5-Auth-Token")) for call in wire.calls]
    token = "FZ42XIKJMI6UGXDD7I3VU52EUY"
    assert sent == [("POST", None), ("GET", token), ("DELETE", token)]


def test_the_transaction_that_was_captured_is_carried_out(session: Session, wire: responses.RequestsMock) -> None:
    """Its number is the header of each command, whose answer has nothing of the object; then it is committed by number."""
    wire.post(f"{URL}/tm/transaction/", json=load(f"{BY_HAND}/transaction_create_200.json"))
    wire.patch(f"{URL}/tm/ltm/pool/~Common~p/", json=load(f"{BY_HAND}/transaction_command_queued_200.json"))
    wire.patch(f"{URL}/tm/transaction/1526674837169915/", json={"state": "COMPLETED"})
    session.atomically(lambda: session.modify(things.POOL, "/Common/p", {"description": "x"}))
    sent = [(str(one.request.path_url), one.request.headers.get("X-F5-REST-Coordination-Id")) for one in wire.calls][2:]
    assert sent == [
        ("/mgmt/tm/transaction/", None),
        ("/mgmt/tm/ltm/pool/~Common~p/", "1526674837169915"),
        ("/mgmt/tm/transaction/1526674837169915/", None),
    ]
    assert json.loads(wire.calls[-1].request.body or b"") == {"state": "VALIDATING", "validateOnly": False}


def test_the_upload_that_was_captured_is_carried_out(session: Session, wire: responses.RequestsMock) -> None:
    """In pieces of half a mebibyte with their place in the whole, and taken away again."""
    upload = f"{URL}/shared/file-transfer/uploads/example.zip"
    wire.post(upload, json=load(f"{BY_HAND}/upload_last_chunk_200.json"))
    wire.post(f"{URL}/tm/util/unix-rm", json={"kind": "tm:util:unix-rm:runstate"})
    with session.uploads({"example.zip": b"x" * (512 * 1024 + 1)}) as sources:
        assert sources == {"example.zip": "file:/var/config/rest/downloads/example.zip"}
    ranges = [call.request.headers["Content-Range"] for call in wire.calls if call.request.url == upload]
    assert ranges == ["0-524287/524289", "524288-524288/524289"]
    assert json.loads(wire.calls[-1].request.body or b"") == {
        "command": "run",
        "utilCmdArgs": "-f /var/config/rest/downloads/example.zip",
    }


def test_captured_collections_are_read_through_the_sdk(session: Session, wire: responses.RequestsMock) -> None:
    """The SDK's objects become plain ones again, as they were answered."""
    answer = load(f"{NEW}/get_ltm_pool.json")
    wire.get(f"{URL}/tm/ltm/pool/", json=answer)
    found = session.collection(things.POOL)
    assert found == items(answer)
