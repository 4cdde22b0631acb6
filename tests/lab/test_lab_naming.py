"""Names as Windows writes them: connectors name certificates so."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from lbsync.lab.naming import Names, tls_certificate_name, windows_name
from lbsync.testing.ca import TestCA


@pytest.mark.parametrize(
    ("parts", "written"),
    [
        ([(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Contoso"), (NameOID.COMMON_NAME, "mail")],
         "CN=mail, O=Contoso, C=DE"),
        ([(NameOID.ORGANIZATION_NAME, "Contoso, Inc."), (NameOID.STATE_OR_PROVINCE_NAME, "Bavaria")],
         'S=Bavaria, O="Contoso, Inc."'),
        ([(NameOID.COMMON_NAME, 'a "b"')], 'CN="a ""b"""'),
        ([(NameOID.BUSINESS_CATEGORY, "Private")], "OID.2.5.4.15=Private"),
    ],
)  # fmt: skip
def test_a_name_is_written_as_windows_writes_it(parts: list[tuple[x509.ObjectIdentifier, str]], written: str) -> None:
    """The last part first, quotes where a value needs them, numbers for what has no short name."""
    assert windows_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])) == written


def test_a_renewed_certificate_answers_to_the_same_name() -> None:
    """Issuer and subject are the same, so that a send connector's name fits both; case does not matter."""
    ca = TestCA.new("Contoso CA")
    old, new, other = ca.issue(["mail.contoso.test"]), ca.issue(["mail.contoso.test"]), ca.issue(["www.contoso.test"])
    names = Names(send_connectors={"To the world": tls_certificate_name(old.leaf).lower()})
    assert names.tagged(new.leaf) == ["To the world"]
    assert names.tagged(other.leaf) == []
