"""The page on notices: how it stands with each target, never its address; a test for those who may, one at a time."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from lbsync.config import ServiceSection
from lbsync.service.auth.csrf import HEADER
from lbsync.service.notices.texts import Text
from lbsync.service.notices.values import NoticeState
from lbsync.service.outlets import Outlets
from lbsync.service.web.views.telling import standing
from lbsync.watch.items import Level
from tests.service.client import ORIGIN, Client, app_for, client
from tests.service.fakes import NOW, FakeHub, namespace

_PAGE, _TEST = "/settings/notices", "/settings/notices/team/test"
_SECRET = "json://user:hunter2@192.0.2.1/T0KEN"
_HTML = {"Accept": "text/html"}


class Told:
    """The service's outlets with one target, whose other side answers ``error``, once it is let ``go``."""

    def __init__(self, folder: Path) -> None:
        self.error, self.titles = "", list[str]()
        self.go, self.asked = threading.Event(), threading.Event()
        self.go.set()
        section = ServiceSection.model_validate({"notices": [{"name": "team", "url": "env:LBSYNC_TEAMS_URL"}]})
        hub = FakeHub()
        self.outlets = Outlets(
            hub, section, folder=folder / "serve", base=folder, secret=lambda _: SecretStr(_SECRET), sender=self._send
        )
        self.app = app_for(folder, hub)
        self.outlets.around(self.app)

    def _send(self, _url: SecretStr, text: Text, _level: Level) -> str:
        self.titles.append(text.title)
        self.asked.set()
        self.go.wait(20)
        return self.error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the users are: hashing their passwords once is enough."""
    return tmp_path_factory.mktemp("settings")


@pytest.fixture
def told(folder: Path) -> Told:
    """Nothing was told yet."""
    (folder / "serve" / "notices.json").unlink(missing_ok=True)
    return Told(folder)


async def _send(browser: Client, csrf: str) -> tuple[int, str]:
    form = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await browser.http.post(_TEST, headers=form, content=f"csrf={csrf}")
    return answer.status_code, answer.headers.get("location", answer.text)


def test_what_came_of_the_last_notice(told: Told) -> None:
    """Failed, why, and when it is tried again; then sent. Of where it goes, nothing."""
    with client(told.app) as browser:
        browser.login("viewer")
        assert "nothing sent yet" in browser.ask("GET", _PAGE).text
        told.outlets.post.tell(namespace())
        assert "waiting" in browser.ask("GET", _PAGE).text
        told.error = "it was not taken: HTTP 410"
        told.outlets.post.work()
        failed = browser.ask("GET", _PAGE, headers=_HTML).text
        assert "failed, will be tried again" in failed
        assert "The last notice: it was not taken: HTTP 410" in failed
        assert "tried next <time" in failed
        for secret in (_SECRET, "hunter2", "json:", "env:", "TEAMS"):
            assert secret not in failed


def test_a_test_from_the_page(told: Told) -> None:
    """An operator sends it and sees what came of it; a viewer is not offered it, and neither a link to it."""
    with client(told.app) as browser:
        browser.login("viewer")
        assert "b-test-team" not in browser.ask("GET", _PAGE).text
        assert f'href="{_PAGE}"' not in browser.ask("GET", "/").text
        assert browser.runner.run(_send(browser, browser.csrf))[0] == 403
        browser.login("operator")
        assert "b-test-team" in browser.ask("GET", _PAGE).text
        assert f'href="{_PAGE}"' in browser.ask("GET", "/").text
        assert browser.runner.run(_send(browser, "wrong"))[0] == 403
        assert told.titles == []
        assert browser.runner.run(_send(browser, browser.csrf)) == (303, _PAGE)
        assert told.titles == ["lbsync: a test"]
        assert "The test was sent" in browser.ask("GET", _PAGE).text
        told.error = "no connection, or no answer in time"
        assert browser.runner.run(_send(browser, browser.csrf)) == (303, _PAGE)
        assert "The test was not sent: no connection" in browser.ask("GET", _PAGE).text
        assert browser.post(_TEST.replace("team", "nobody")).status_code == 404


def test_one_test_at_a_time(told: Told) -> None:
    """Whoever asks again while the other side hangs is told so, by page or API, and no second process is begun."""

    async def twice() -> tuple[tuple[int, str], int, tuple[int, str]]:
        first = asyncio.ensure_future(_send(browser, browser.csrf))
        await asyncio.to_thread(told.asked.wait, 20)
        second = await _send(browser, browser.csrf)
        third = await browser.http.post("/api/v1/notices/team/test", headers={"Origin": ORIGIN, HEADER: browser.csrf})
        told.go.set()
        return second, third.status_code, await first

    with client(told.app) as browser:
        browser.login("operator")
        told.go.clear()
        (refused, why), by_api, first = browser.runner.run(twice())
        assert (refused, by_api) == (409, 409)
        assert "on its way there already" in why
        assert first == (303, _PAGE)
        assert len(told.titles) == 1


def test_a_few_tests_at_once(told: Told) -> None:
    """However many targets there are: the schedule needs threads for itself."""
    with client(told.app) as browser:
        browser.login("operator")
        told.outlets.post.testing |= {"a", "b"}
        refused, why = browser.runner.run(_send(browser, browser.csrf))
        assert (refused, "other tests are on their way" in why, told.titles) == (409, True, [])


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({}, "nothing sent yet"),
        ({"pending": 1}, "waiting"),
        ({"sent": 3, "failures": 2}, "sent"),
        ({"sent": 3, "pending": 2}, "waiting"),
        ({"sent": 3, "error": "HTTP 410", "pending": 1}, "failed, will be tried again"),
        ({"error": "HTTP 410"}, "failed"),
    ],
)
def test_how_it_stands(facts: dict[str, object], word: str) -> None:
    """The last outcome decides, not what once was well."""
    base: dict[str, object] = {"name": "team", "kinds": ("done",), "namespaces": ("*",), "min_level": "ok", "sent": 0,
                               "failures": 0, "dropped": 0, "pending": 0, "sent_at": NOW, "failed_at": None,
                               "next_try": None, "error": ""}  # fmt: skip
    assert standing(NoticeState.model_validate(base | facts)).word == word
