"""A CA and a farm's answers for the view from outside."""

from __future__ import annotations

import pytest

from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle


@pytest.fixture(scope="session")
def ca() -> TestCA:
    """One CA for the whole room."""
    return TestCA.new()


@pytest.fixture(scope="session")
def ours(ca: TestCA) -> Bundle:
    """The certificate of the rollout."""
    return ca.issue(["mail.contoso.test", "autodiscover.contoso.test", "127.0.0.1", "::1"], key="ec256")
