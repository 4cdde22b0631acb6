"""Fixtures of every balancer's tests: a CA, and two certificates for the published names. A conftest imports them."""

from __future__ import annotations

import pytest

from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle
from tests.balancers.bench import HOSTS

__all__ = ["authority", "leaves"]


@pytest.fixture(scope="session")
def authority() -> TestCA:
    """One CA for all; keys are slow."""
    return TestCA.new()


@pytest.fixture(scope="session")
def leaves(authority: TestCA) -> tuple[Bundle, Bundle]:
    """Two certificates for the published names."""
    return authority.issue(HOSTS, key="ec256"), authority.issue(HOSTS, key="rsa2048")
