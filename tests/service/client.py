"""A browser, or a program, in front of the application: one loop, no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from lbsync.service.auth import users
from lbsync.service.auth.access import Access
from lbsync.service.values import Role
from lbsync.service.web.app import make_app
from tests.service.fakes import FakeHub

TOKEN = "tok-0123456789-abcdefghijklmnopqrstuvwxyz-0"
PASSWORD = "correct horse battery"
ORIGIN = "http://localhost:8440"
PEER = "127.0.0.1"


class Client:
    """Asks the application; keeps cookies. ``token`` is the CSRF token after a login."""

    def __init__(self, app: FastAPI, *, base: str = ORIGIN, peer: str = PEER) -> None:
        self.app, self.runner, self.csrf = app, asyncio.Runner(), ""
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, client=(peer, 50000), raise_app_exceptions=False), base_url=base
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request, just as it is told."""
        return self.runner.run(self.http.request(method, path, **more))

    def post(self, path: str, body: object = None, *, method: str = "POST", **headers: str) -> httpx.Response:
        """A request of the service's own page: with origin and token."""
        own = {"Origin": str(self.http.base_url).rstrip("/"), "X-CSRF-Token": self.csrf} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.ask(method, path, json=body, headers=own)

    def login(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """By password."""
        answer = self.post("/api/v1/session", {"name": name, "password": password})
        self.csrf = answer.json().get("csrf", "")
        return answer

    def close(self) -> None:
        """Let go of the loop."""
        self.runner.run(self.http.aclose())
        self.runner.close()


@contextmanager
def client(app: FastAPI, *, base: str = ORIGIN, peer: str = PEER) -> Generator[Client]:
    """A client that is closed at the end."""
    made = Client(app, base=base, peer=peer)
    try:
        yield made
    finally:
        made.close()


def write_users(path: Path, **roles: Role) -> Path:
    """A users file: everybody has PASSWORD."""
    hashed = users.with_password(SecretStr(PASSWORD))
    users.save(path, {name: users.User(role=role, password=hashed) for name, role in roles.items()})
    return path


def access(**more: Any) -> Access:
    """Loopback with its token."""
    values: dict[str, Any] = {"token": SecretStr(TOKEN)} | more
    return Access(**values)


def app_for(tmp_path: Path, hub: FakeHub | None = None, **more: Any) -> FastAPI:
    """The application with one user of each role, named by it."""
    users_file = tmp_path / "users.toml"
    if not users_file.exists():
        write_users(users_file, **{role.value: role for role in Role})
    return make_app(hub or FakeHub(), access(**({"users_file": users_file} | more)))
