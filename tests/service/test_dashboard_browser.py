"""The dashboard in a real Chromium: signing in, approving and watching a rotation, by keyboard, on a phone, light and dark.

``LBSYNC_SCREENSHOTS=1`` writes the documentation's pictures: what is tested is what they show.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import uvicorn
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from lbsync.service.values import Role
from lbsync.service.web.app import make_app
from lbsync.service.web.wire import server_config
from tests.service.client import PASSWORD, TOKEN, access, write_users
from tests.service.fakes import NOW
from tests.service.showcase import RUN, Showcase, house, plan, rotation

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_SCREENS: Final = {"light": (1280, 860), "dark": (1280, 860), "phone": (360, 740)}
_SPACE = "/n/contoso-muc"
_PAGES: Final = {
    "overview": "/",
    "namespace": _SPACE,
    "advice": f"{_SPACE}/advice?wait=1",
    "proposal": f"{_SPACE}/proposals/{rotation().id}",
    "approve": f"{_SPACE}/proposals/{rotation().id}/approve",
    "history": f"{_SPACE}/runs",
    "run": f"{_SPACE}/runs/{RUN}",
    "ledger": f"{_SPACE}/ledger",
    "unseen": "/n/woodgrove",
    "certificates": "/certificates",
}
_FACTS: Final = """() => ({
  wider: document.documentElement.scrollWidth - innerWidth,
  heads: [...document.querySelectorAll("h1,h2,h3,h4")].filter(h => h.checkVisibility()).map(h => +h.tagName[1]),
  landmarks: ["header", "main", "nav"].filter(name => !document.querySelector(name)),
  nameless: [...document.querySelectorAll("input:not([type=hidden])")].filter(i => !i.labels.length).length,
  mute: [...document.querySelectorAll("button,a,summary")].filter(b => !b.textContent.trim() && !b.ariaLabel).length,
  twice: [...document.querySelectorAll("[id]")].map(e => e.id).filter((id, n, all) => all.indexOf(id) !== n),
  times: [...document.querySelectorAll("time")].filter(t => t.textContent.includes("UTC")).length,
})"""


class Served:
    """A house that is served by a real server on a loop of its own."""

    def __init__(self, users: Path) -> None:
        self.hub = Showcase()
        allowed = access(users_file=users)
        self._server = uvicorn.Server(server_config(make_app(self.hub, allowed), allowed))
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._server.serve([self._socket]))

    def do(self, change: Callable[[], object]) -> None:
        """Let something happen where the hub lives."""

        async def on_loop() -> None:
            change()

        asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(10)

    def again(self) -> None:
        """The house as it was."""
        self.do(lambda: self.hub.kept.update({state.name: state for state in house()}))
        self.hub.at, self.hub.ended = 0, False

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self.do(lambda: self.hub.tell(None))
        self._thread.join(10)
        self._socket.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the file."""
    users = write_users(
        tmp_path_factory.mktemp("dashboard") / "users.toml", anna=Role.APPROVER, otto=Role.APPROVER, vera=Role.VIEWER
    )
    made = Served(users)
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the file: Debian's, never a downloaded one."""
    program = shutil.which("chromium")
    if program is None:
        if "chromium" in os.environ.get("LBSYNC_REQUIRE", "").split(","):
            pytest.fail("chromium is required here (LBSYNC_REQUIRE) and missing")
        pytest.skip("chromium is not on this machine")
    # Its own sandbox needs another user than root.
    more = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=more)
        yield made
        made.close()


@contextmanager
def _opened(
    browser: Browser, served: Served, screen: str = "light", name: str = "anna", allowed: str = "none"
) -> Generator[Page]:
    """A page of somebody who is signed in; at the end its console is empty, so nothing broke and no policy was hurt."""
    served.again()
    width, height = _SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if screen == "dark" else "light",
        locale="en-GB", timezone_id="Europe/Berlin", reduced_motion="reduce",
    )  # fmt: skip
    context.set_default_timeout(20000)
    page = context.new_page()
    page.clock.set_fixed_time(NOW)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{served.address}/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Live")
    yield page
    context.close()
    assert [line for line in said if allowed not in line] == []


def _picture(page: Page, name: str, *, whole: bool = True) -> None:
    if os.environ.get("LBSYNC_SCREENSHOTS"):
        page.screenshot(path=_DOCS / f"serve-{name}.png", full_page=whole)


def _tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            outline = wanted.evaluate("one => getComputedStyle(one).outlineStyle")
            assert outline != "none", "the focus is not to be seen"
            return
    pytest.fail(f"no way by Tab to {wanted}")


def test_the_printed_link_signs_in(browser: Browser, served: Served) -> None:
    """The token of the fragment lets in and is gone from the address; a wrong one is told, and nothing of it shown."""
    served.again()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{served.address}/#token=wrong-token")
        expect(page.get_by_role("alert").filter(has_text="Wrong")).to_be_visible()
        assert "wrong-token" not in page.url + page.content()
        page.goto("about:blank")
        page.goto(f"{served.address}/#token={TOKEN}")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert TOKEN not in page.url + page.content()


def test_approve_and_watch_a_rotation_by_keyboard(browser: Browser, served: Served) -> None:
    """Tab and Enter alone: overview, proposal, question, run; it moves on live, and the focus stays where it was."""
    with _opened(browser, served) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        _tab_to(page, page.get_by_role("link", name="Rotation for contoso-muc"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Rotation for contoso-muc")).to_be_visible()
        expect(page.locator(".plan > li")).to_have_count(len(plan().steps))
        _tab_to(page, page.get_by_role("link", name="Approve…"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Approve this rotation?")).to_be_visible()
        _tab_to(page, page.get_by_role("button", name="Yes, approve"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=f"Run {RUN}")).to_be_visible()
        expect(page.locator("#live")).to_have_text("Live")
        stop = page.get_by_role("button", name="Stop between two steps")
        _tab_to(page, stop)
        for at in (1, 4):
            served.do(lambda at=at: served.hub.move(at))  # type: ignore[misc]
            expect(page.locator(".steps > li.ok")).to_have_count(at)
            expect(page.locator(".steps > li.run")).to_have_count(1)
            expect(stop).to_be_focused()
        expect(page.locator("#said")).to_contain_text("4 of 8 steps done")
        expect(page.locator("#log")).to_contain_text("lb-muc-2: take the renewed certificate")
        _picture(page, "run")
        served.do(lambda: served.hub.move(8))
        expect(page.get_by_role("heading", name=f"Run {RUN} applied")).to_be_visible()
        expect(page.get_by_role("link", name="Roll back…")).to_be_visible()
        assert served.hub.calls[-1] == ("approve", "contoso-muc", "anna (approver, web)")


def test_four_eyes(browser: Browser, served: Served) -> None:
    """The first approval is seen by the second approver at once; the run begins with the second."""
    with _opened(browser, served) as first, _opened(browser, served, name="otto") as second:
        state = served.hub.kept["contoso-muc"].model_copy(update={"proposals": (rotation(needs=2),)})
        served.do(lambda: served.hub.kept.update({"contoso-muc": state}))
        for page in (second, first):
            page.goto(served.address + _PAGES["proposal"])
            expect(page.locator("#live")).to_have_text("Live")
        first.get_by_role("link", name="Approve…").click()
        first.get_by_role("button", name="Yes, approve").click()
        expect(first.get_by_text("You have approved it")).to_be_visible()
        expect(second.get_by_text("1 of 2: anna")).to_be_visible()
        second.get_by_role("link", name="Approve…").click()
        second.get_by_role("button", name="Yes, approve").click()
        expect(second.get_by_role("heading", name=f"Run {RUN}")).to_be_visible()
        expect(first.locator("#proposal")).to_contain_text("This proposal is over")


@pytest.mark.parametrize("screen", list(_SCREENS))
def test_every_page_on_every_screen(browser: Browser, served: Served, screen: str) -> None:
    """No page is wider than its screen; headings in order, everything has a name, every time is in the reader's zone."""
    with _opened(browser, served, screen) as page:
        page.goto(served.address + _PAGES["approve"])
        for name, path in _PAGES.items():
            if name == "history":
                page.get_by_role("button", name="Yes, approve").click() if page.url.endswith("/approve") else None
                expect(page.locator(".steps")).to_be_visible()
                served.do(lambda: served.hub.move(4))
            page.goto(served.address + path)
            facts = page.evaluate(_FACTS)
            heads = facts.pop("heads")
            assert facts == {"wider": 0, "landmarks": [], "nameless": 0, "mute": 0, "twice": [], "times": 0}, name
            assert heads[0] == 1, name
            assert heads.count(1) == 1, name
            assert all(after <= before + 1 for before, after in pairwise(heads)), name
            if (screen, name) in {("light", "overview"), ("dark", "namespace")}:
                _picture(page, f"{name}-{screen}", whole=name == "overview" and screen == "light")


def test_what_a_viewer_sees(browser: Browser, served: Served) -> None:
    """Everything, and no button; the filter finds by host; a fold brings its listeners; a sign-out elsewhere is told.

    Told also by a stream that had to be opened again, which is done at once and not after the time to try anew.
    """
    with _opened(browser, served, name="vera", allowed="401 (Unauthorized)") as page:
        page.get_by_label("Filter").fill("mail.northwind")
        expect(page.locator(".space:visible")).to_have_count(1)
        page.get_by_label("Filter").fill("")
        page.get_by_text("All 6 listeners").click()
        expect(page.locator("#fold-contoso-muc li")).to_have_count(6)
        served.do(lambda: served.hub.tell_of("contoso-muc", failures=1))
        expect(page.locator("#fold-contoso-muc li")).to_have_count(6)
        again = "retry: 60000\nevent: again\ndata: {}\n\n"
        page.route("**/api/v1/events", lambda one: one.fulfill(content_type="text/event-stream", body=again), times=1)
        page.goto(served.address + _SPACE)
        expect(page.get_by_role("button", name="Look now")).to_have_count(0)
        expect(page.get_by_role("img", name="The way of a request")).to_be_visible()
        expect(page.locator("#live")).to_have_text("Live")
        other = page.context.new_page()
        other.goto(served.address)
        other.get_by_role("button", name="Sign out").click()
        expect(page.locator("#notice")).to_contain_text("You are signed out")
