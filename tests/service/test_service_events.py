"""The stream of changes: what it says, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.types import Message

from lbsync.service.values import Changed, Role
from tests.service.client import TOKEN, app_for, client, write_users
from tests.service.fakes import FakeHub


class Reader:
    """One open stream: what it was sent, and whether it is over."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        self.gone = asyncio.Event()

    async def next(self) -> bytes:
        """What is sent next; empty where nothing more will be."""
        message = await asyncio.wait_for(self.queue.get(), 20)
        return bytes(message.get("body", b""))


@asynccontextmanager
async def reading(app: FastAPI, header: tuple[bytes, bytes]) -> AsyncGenerator[Reader]:
    """An open stream with this login."""
    reader = Reader()

    async def receive() -> Message:
        await reader.gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            reader.start = message
        else:
            reader.queue.put_nowait(message)

    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/events", "raw_path": b"/api/v1/events", "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"last-event-id", b"7"), header], "client": ("127.0.0.1", 5), "scheme": "http",
        "server": ("localhost", 8440), "http_version": "1.1", "asgi": {"version": "3.0"}, "root_path": "",
    }  # fmt: skip
    task = asyncio.ensure_future(app(scope, receive, send))
    try:
        assert b"retry" in await reader.next()
        yield reader
    finally:
        reader.gone.set()
        await asyncio.wait_for(task, 20)


BEARER = (b"authorization", b"Bearer " + TOKEN.encode())


def test_changes_are_told_until_the_reader_leaves(tmp_path: Path) -> None:
    """One event for each, signs of life between them; nothing is left behind."""
    hub = FakeHub()
    app = app_for(tmp_path, hub)

    async def story() -> None:
        async with reading(app, BEARER) as reader:
            headers = dict(reader.start["headers"])
            assert headers[b"content-type"].startswith(b"text/event-stream")
            assert headers[b"cache-control"] == b"no-store"
            assert b"content-length" not in headers
            hub.tell(Changed("mail", "run", "r1"))
            hub.tell(Changed("mail", "state"))
            assert await reader.next() == b'event: run\ndata: {"ns": "mail", "what": "run", "id": "r1"}\n\n'
            assert (await reader.next()).startswith(b"event: state\n")
        assert hub.readers == []
        app.state.beat_s = 0.01
        async with reading(app, BEARER) as reader:
            assert await reader.next() == b": beat\n\n"
            hub.tell(None)
            while (told := await reader.next()) == b": beat\n\n":
                pass
            assert told.startswith(b"event: end")

    asyncio.run(story())


def test_whom_a_proxy_names_is_asked_for_again(tmp_path: Path) -> None:
    """Nobody here knows whether the proxy would still let him in: the stream ends after a while, that of a session does not."""
    hub = FakeHub()
    proxy = {"networks": ("127.0.0.1",), "user_header": "X-User", "default_role": Role.VIEWER}
    app = app_for(tmp_path, hub, proxy=proxy)
    app.state.beat_s, app.state.proxy_s = 0.02, 0.05

    async def story() -> None:
        async with reading(app, (b"x-user", b"user:anna")) as reader:
            told = [await reader.next()]
            while told[-1] == b": beat\n\n":
                told.append(await reader.next())
            assert told[-1].startswith(b"event: again")
            assert len(told) > 1
        async with reading(app, BEARER) as reader:
            assert [await reader.next() for _ in range(5)] == [b": beat\n\n"] * 5
        assert hub.readers == []

    asyncio.run(story())


@pytest.mark.parametrize("how", ["logout", "removed"])
def test_it_ends_with_its_login(tmp_path: Path, how: str) -> None:
    """At once with a logout; with the next sign of life where the user was removed."""
    hub = FakeHub()
    app = app_for(tmp_path, hub)
    with client(app) as browser:
        browser.login("viewer")
        header = (b"cookie", f"lbsync={browser.http.cookies['lbsync']}".encode())
        out: Callable[[], object] = {
            "logout": lambda: app.state.guard.sessions.end(browser.http.cookies["lbsync"]),
            "removed": lambda: write_users(tmp_path / "users.toml", anna=Role.VIEWER),
        }[how]
        app.state.beat_s = 0.01 if how == "removed" else 1000

        async def story() -> None:
            async with reading(app, header) as reader:
                out()
                while (told := await reader.next()) == b": beat\n\n":
                    pass
                assert told.startswith(b"event: end")
            assert hub.readers == []

        browser.runner.run(story())
