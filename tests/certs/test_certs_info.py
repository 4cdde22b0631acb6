"""What is read from a certificate."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lbsync.testing.ca import TestCA
from lbsync_certs import CertificateProblem
from lbsync_certs.info import describe, is_self_signed, load_der, parse_thumbprint

SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plain")])


def builder(serial: int = 7) -> x509.CertificateBuilder:
    """A certificate without a key or extensions yet."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    empty = x509.CertificateBuilder().subject_name(SUBJECT).issuer_name(SUBJECT).serial_number(serial)
    return empty.not_valid_before(start).not_valid_after(start + timedelta(days=1))


def test_a_leaf_is_described(ca: TestCA) -> None:
    """Digests, dates, names and usage are those of the certificate."""
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    leaf = ca.issue(["Mail.Contoso.test", "*.contoso.test", "127.0.0.1", "::1"], days=10, not_before=start)
    der = leaf.leaf.public_bytes(Encoding.DER)
    info = describe(leaf.leaf)
    assert info == leaf.info
    assert info.fingerprint == hashlib.sha256(der).hexdigest() == leaf.fingerprint
    assert info.thumbprint == hashlib.sha1(der).hexdigest().upper() == leaf.thumbprint  # noqa: S324  Windows' name
    assert (info.not_before, info.not_after) == (start, start + timedelta(days=10))
    assert info.names == ("mail.contoso.test", "*.contoso.test")
    assert info.addresses == ("127.0.0.1", "::1")
    assert (info.subject, info.issuer) == ("CN=Mail.Contoso.test", "CN=lbsync test CA (issuing)")
    assert (info.key_algorithm, info.key_bits) == ("rsa", 2048)
    assert (info.self_signed, info.server_auth) == (False, True)


def test_no_extensions_means_no_names_and_no_restriction() -> None:
    """A certificate without alternative names covers nothing; without extended usage it may serve TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    info = describe(builder().public_key(key.public_key()).sign(key, hashes.SHA256()))
    assert info.names == ()
    assert info.server_auth
    assert (info.key_algorithm, info.key_bits) == ("ec", 256)
    assert info.self_signed


def test_usage_for_clients_only_is_seen() -> None:
    """A certificate for client authentication does not serve TLS; one for any usage does."""
    key = ec.generate_private_key(ec.SECP256R1())
    base = builder().public_key(key.public_key())
    client = base.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    anything = base.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), critical=False)
    assert not describe(client.sign(key, hashes.SHA256())).server_auth
    assert describe(anything.sign(key, hashes.SHA256())).server_auth


def test_serial_numbers_are_written_as_windows_does() -> None:
    """Upper-case hexadecimal, whole bytes."""
    key = ec.generate_private_key(ec.SECP256R1())
    for number, text in ((0xABC, "0ABC"), (0xABCD, "ABCD"), (1, "01")):
        cert = builder(number).public_key(key.public_key()).sign(key, hashes.SHA256())
        assert describe(cert).serial == text


def test_modern_and_foreign_keys_have_a_name() -> None:
    """Ed25519 and Ed448 by name, DSA and what nobody can read by OID."""
    first, second = ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()
    old = dsa.generate_private_key(2048)
    seen = [describe(builder().public_key(key.public_key()).sign(key, None)) for key in (first, second)]
    seen.append(describe(builder().public_key(old.public_key()).sign(old, hashes.SHA256())))
    assert [info.key_algorithm for info in seen] == ["ed25519", "ed448", "1.2.840.10040.4.1"]
    unknown = builder().public_key(first.public_key()).sign(first, None).public_bytes(Encoding.DER)
    # 1.3.101.112 (Ed25519) turned into 1.3.101.99, in the key and in the signature: an algorithm nobody knows.
    info = describe(load_der(unknown.replace(bytes([0x2B, 101, 112]), bytes([0x2B, 101, 99]))))
    assert (info.key_algorithm, info.key_bits) == ("1.3.101.99", 0)
    assert info.self_signed, "the names say so, and the signature cannot be checked"


def test_a_forged_self_signature_is_no_self_signature() -> None:
    """Issuer and subject alike, signed by another key: not self-signed."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    assert not is_self_signed(builder().public_key(key.public_key()).sign(other, hashes.SHA256()))


@pytest.mark.parametrize("content", [b"\x30\x05\x82\x7fabc", b"\x30\x02\xa3\x00"], ids=["cut short", "x400 name"])
def test_a_broken_extension_is_a_problem_with_the_thumbprint(content: bytes) -> None:
    """Windows stores certificates with extensions that break their own rules; one such is named, not a traceback."""
    key = ec.generate_private_key(ec.SECP256R1())
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, content)
    cert = builder().public_key(key.public_key()).add_extension(broken, critical=False).sign(key, hashes.SHA256())
    with pytest.raises(CertificateProblem) as caught:
        describe(cert)
    assert caught.value.code == "unreadable"
    assert hashlib.sha1(cert.public_bytes(Encoding.DER)).hexdigest().upper() in caught.value.message  # noqa: S324


def test_bytes_that_are_no_certificate_are_a_problem() -> None:
    """Garbage raises our error, with its size and without its content."""
    with pytest.raises(CertificateProblem, match="9 bytes") as caught:
        load_der(b"top secre")
    assert caught.value.code == "unreadable"
    assert "top" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a86b1b7414e51491d446905511a329a7fe120510",
        "\u200ea8 6b 1b 74 14 e5 14 91 d4 46 90 55 11 a3 29 a7 fe 12 05 10",
        "A8:6B:1B:74:14:E5:14:91:D4:46:90:55:11:A3:29:A7:FE:12:05:10 ",
    ],
)
def test_thumbprints_are_taken_as_people_paste_them(text: str) -> None:
    """Case, blanks, colons and the invisible mark of the Windows dialogue do not matter."""
    assert parse_thumbprint(text) == "A86B1B7414E51491D446905511A329A7FE120510"


@pytest.mark.parametrize("text", ["", "A86B", "Z" * 40, "A" * 41, "A" * 64])
def test_what_is_no_thumbprint_is_refused(text: str) -> None:
    """Anything but 40 hexadecimal digits is a problem with its own code."""
    with pytest.raises(CertificateProblem) as caught:
        parse_thumbprint(text)
    assert caught.value.code == "bad_thumbprint"
