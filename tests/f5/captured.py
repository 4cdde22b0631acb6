"""Answers captured from real BIG-IPs, by the file that holds each, and answers as the session meets them."""

from __future__ import annotations

import json
from typing import Any

import requests

from tests.conftest import SHARED

DATA = SHARED / "data" / "bigip"
FILES = sorted(DATA.rglob("*.json"))
NEW, OLD, BY_HAND = "apache2-genieparser", "apache2-f5-common-python", "transcribed"
Json = dict[str, Any]


def load(name: str) -> Any:
    """One file's content."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def answered(status: int, body: Any) -> requests.Response:
    """A response as requests would have it."""
    response = requests.Response()
    response.status_code = status
    response._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    response.encoding = "utf-8"
    return response
