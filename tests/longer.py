"""What only the longer run has: variants whose sibling every run has, told as skipped and why."""

from __future__ import annotations

import os

import pytest

LONGER = pytest.mark.skipif(not os.environ.get("LBSYNC_LONGER"), reason="in the longer run only: LBSYNC_LONGER=1")
