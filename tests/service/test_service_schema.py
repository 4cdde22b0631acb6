"""The API against its own description: schemathesis asks everything, within what it says and beyond."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from lbsync.service.auth.roles import MATRIX
from lbsync.service.values import JobState, NamespaceState, Proposal, Role, RunState, Who
from tests.service.client import TOKEN, app_for, write_users
from tests.service.fakes import FakeHub, namespace, proposal, run_state

_HEADERS = {"Authorization": f"Bearer {TOKEN}", "Host": "localhost"}
_CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection, unsupported_method, ignored_auth,
]  # fmt: skip
_OWN_TESTS = ("/events", "/session")
"""The stream that never ends, and the login, which waits longer with every wrong guess."""
_ASKED = sorted(
    (method, path)
    for method, path in MATRIX
    if path.startswith("/api/") and not path.endswith((*_OWN_TESTS, "openapi.json"))
)


class _Obliging(FakeHub):
    """Has whatever it is asked for, so that answers are not all 404."""

    def state(self, ns: str) -> NamespaceState:
        """A namespace of that name."""
        return self.kept.setdefault(ns, namespace(ns))

    def job(self, job_id: str) -> JobState:
        """A job of that name."""
        asked_by = Who(name="anna", role=Role.VIEWER, via="api")
        return self.jobs.get(job_id) or self._job("mail", "look", asked_by).model_copy(update={"id": job_id})

    def _run(self, ns: str, run_id: str) -> RunState:
        return run_state(run_id)

    def _proposal(self, ns: str, identity: str) -> Proposal:
        return proposal(ns)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The application's description, as it serves it."""
    folder = tmp_path_factory.mktemp("schema")
    write_users(folder / "users.toml", viewer=Role.VIEWER)
    app = app_for(Path(folder), _Obliging())
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=_HEADERS)


@pytest.mark.parametrize(("method", "path"), _ASKED)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_api_keeps_its_description(schema: Any, method: str, path: str, mode: GenerationMode) -> None:
    """No 5xx, no undocumented answer, nothing accepted that does not fit, nothing open to who is not logged in."""
    operation = schema[path][method]

    @settings(
        max_examples=8, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(headers=_HEADERS, checks=_CHECKS)

    ask()
