"""Certificates captured from real Exchange servers."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lbsync_certs.info import describe, load_der

FILES = {
    "GetExchangeCertificateBroken.xml": 5,
    "GetExchangeCertificateMultipleMatches.xml": 5,
    "NewExchangeCertificateDefaultTransport.xml": 1,
    "auth_GetExchangeCertificate.xml": 8,
    "e16_GetExchangeCertificate.xml": 3,
}
CLIXML = "{http://schemas.microsoft.com/powershell/2004/04}"


def objects(path: Path) -> list[tuple[bytes, dict[str, str]]]:
    """Each certificate's RawData and what Windows says of it in words."""
    found: list[tuple[bytes, dict[str, str]]] = []
    for node in ET.parse(path).getroot().iter(f"{CLIXML}Obj"):  # noqa: S314  our own fixture
        raw = node.find(f"{CLIXML}Props/{CLIXML}BA[@N='RawData']")
        words = node.find(f"{CLIXML}ToString")
        if raw is None or raw.text is None or words is None or words.text is None:
            continue
        text = words.text.replace("_x000D_", "\r").replace("_x000A_", "\n")
        parts = dict(re.findall(r"\[([^\]]+)\]\s+(.+?)\s*(?:\r?\n|\Z)", text))
        found.append((base64.b64decode(raw.text), parts))
    return found


def rfc4514(windows: str) -> str:
    """Windows puts a blank after each comma and says S for the state."""
    return windows.replace(", ", ",").replace(",S=", ",ST=")


@pytest.mark.parametrize(("name", "count"), FILES.items())
def test_every_captured_certificate_is_read(exchange_data: Path, name: str, count: int) -> None:
    """Thumbprint, serial, subject and issuer agree with what Windows printed beside the bytes."""
    found = objects(exchange_data / name)
    assert len(found) == count
    for der, windows in found:
        info = describe(load_der(der))
        assert info.thumbprint == windows["Thumbprint"]
        assert info.serial == windows["Serial Number"]
        assert info.subject == rfc4514(windows["Subject"])
        assert info.issuer == rfc4514(windows["Issuer"])
        assert info.not_before < info.not_after
        assert (info.key_algorithm, info.key_bits) == ("rsa", 2048)


def test_set_up_certificates_are_self_signed_and_carry_both_names(exchange_data: Path) -> None:
    """Exchange set-up makes a self-signed certificate for the short and the long name."""
    ((der, _),) = objects(exchange_data / "NewExchangeCertificateDefaultTransport.xml")
    info = describe(load_der(der))
    assert info.names == ("e2k16-1", "e2k16-1.contoso.lab")
    assert info.self_signed
    assert info.server_auth


def test_one_subject_many_certificates(exchange_data: Path) -> None:
    """The captured farm has several certificates of one subject: only the thumbprint tells them apart."""
    found = [describe(load_der(der)) for der, _ in objects(exchange_data / "GetExchangeCertificateMultipleMatches.xml")]
    assert len({info.subject for info in found}) < len(found)
    assert len({info.thumbprint for info in found}) == len(found)
