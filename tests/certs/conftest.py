"""A CA and files made with tools that are not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle

OpenSslPfx = Callable[..., bytes]


@pytest.fixture(scope="session")
def ca() -> TestCA:
    """One CA for the whole room."""
    return TestCA.new()


@pytest.fixture(scope="session")
def leaf(ca: TestCA) -> Bundle:
    """A leaf as a farm has it."""
    return ca.issue(["mail.contoso.test", "autodiscover.contoso.test"])


@pytest.fixture
def openssl_pfx(tmp_path: Path) -> OpenSslPfx:
    """Writes a PFX with the openssl command: the forms that cryptography can open but not write."""
    openssl = shutil.which("openssl")
    if openssl is None:
        if "openssl" in os.environ.get("LBSYNC_REQUIRE", "").split(","):
            pytest.fail("openssl is required here (LBSYNC_REQUIRE) and missing")
        pytest.skip("openssl is not on this machine")

    def write(bundle: Bundle, *options: str, password: str = "pass word", key: bool = True) -> bytes:  # noqa: S107  a test
        source, target = tmp_path / "in.pem", tmp_path / "out.pfx"
        source.write_bytes(bundle.pem())
        command = [openssl, "pkcs12", "-export", "-in", str(source), "-out", str(target), *options]
        command += ["-passout", f"pass:{password}", *([] if key else ["-nokeys"])]
        subprocess.run(command, check=True, capture_output=True)
        return target.read_bytes()

    return write
