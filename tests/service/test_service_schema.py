"""The API against its own description: schemathesis asks everything, within what it says and beyond."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from lbsync.service.values import Role
from tests.service.client import TOKEN, app_for, write_users
from tests.service.fakes import FakeHub

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Host": "localhost"}
EXAMPLES = 15


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The application, with a hub that answers as one at work."""
    folder = tmp_path_factory.mktemp("schema")
    write_users(folder / "users.toml", viewer=Role.VIEWER)
    return app_for(folder, FakeHub())


@pytest.fixture(scope="module")
def description(app: Any) -> Any:
    """Its OpenAPI, without the stream that never ends and the login, which waits longer with every wrong guess."""
    config = schemathesis.Config()
    schema = schemathesis.openapi.from_dict(app.openapi(), config=config)
    schema.app = app
    return schema.exclude(path_regex="/(events|session)$")


lazy = schemathesis.pytest.from_fixture("description")


@lazy.parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_the_api_keeps_its_description(case: Any) -> None:
    """No 5xx, no undocumented answer, nothing accepted that does not fit, nothing open to who is not logged in."""
    case.headers = {**(case.headers or {}), "Host": "localhost"}
    case.call_and_validate(headers=HEADERS, checks=[
        not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
        negative_data_rejection, unsupported_method, ignored_auth,
    ])  # fmt: skip
