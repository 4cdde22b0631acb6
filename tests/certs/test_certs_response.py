"""A CA's answer in every dress that CAs use, and the files people take for one."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from lbsync.testing.ca import TestCA, new_key
from lbsync_certs import Bundle, CertificateProblem
from lbsync_certs.bundle import public_bytes
from lbsync_certs.pfx import write_pfx
from lbsync_certs.response import read_response

SIGNED_DATA_WITHOUT_CERTIFICATES = bytes.fromhex(
    "302306092a864886f70d010702a01630140201013100300b06092a864886f70d0107013100"
)


def refused(data: bytes) -> CertificateProblem:
    """The problem that reading gives."""
    with pytest.raises(CertificateProblem) as caught:
        read_response(data)
    return caught.value


def armoured(label: str, der: bytes) -> bytes:
    """DER between lines of a label."""
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


def p7(*certificates: x509.Certificate, encoding: Encoding = Encoding.DER) -> bytes:
    """A PKCS#7 file of certificates."""
    return pkcs7.serialize_certificates(list(certificates), encoding)


def bare(certificate: x509.Certificate) -> bytes:
    """The DER of a certificate."""
    return certificate.public_bytes(Encoding.DER)


DRESSES: dict[str, Callable[[x509.Certificate], bytes]] = {
    "DER": bare,
    "PEM": lambda cert: cert.public_bytes(Encoding.PEM),
    "in a mail": lambda cert: (
        b"\r\nSubject: your order\r\n\r\n" + cert.public_bytes(Encoding.PEM).replace(b"\n", b"\r\n")
    ),
    "BOM": lambda cert: b"\xef\xbb\xbf" + cert.public_bytes(Encoding.PEM),
    "UTF-16": lambda cert: cert.public_bytes(Encoding.PEM).decode().encode("utf-16"),
    "base64": lambda cert: base64.encodebytes(bare(cert)),
    "X509": lambda cert: armoured("X509 CERTIFICATE", bare(cert)),
    "p7b": p7,
    "p7b PEM": lambda cert: p7(cert, encoding=Encoding.PEM),
    "certsrv": lambda cert: armoured("CERTIFICATE", p7(cert)),
    "CMS": lambda cert: armoured("CMS", p7(cert)),
    "p7b base64": lambda cert: base64.b64encode(p7(cert)),
}
"""What is done to a certificate before it is handed over."""


@pytest.mark.parametrize("dress", DRESSES)
def test_the_dress_does_not_matter(leaf: Bundle, dress: str) -> None:
    """A certificate is read from PEM, DER, base64, UTF-16 and PKCS#7, whatever its lines say."""
    answer = read_response(DRESSES[dress](leaf.leaf))
    assert (answer.leaf, answer.chain, answer.info) == (leaf.leaf, (), leaf.info)


def test_the_chain_is_ordered_and_strangers_are_left_out(leaf: Bundle, ca: TestCA) -> None:
    """The leaf is found wherever it stands; its chain goes upwards, and the root is not one of the intermediates."""
    stranger = TestCA.new("another CA").root.certificate
    answer = read_response(p7(stranger, ca.root.certificate, leaf.leaf, ca.issuer.certificate))
    assert answer.leaf == leaf.leaf
    assert answer.chain == (ca.issuer.certificate, ca.root.certificate)
    assert answer.intermediates == (ca.issuer.certificate,)


def test_what_other_programs_write_is_read(leaf: Bundle, ca: TestCA, tmp_path: Path) -> None:
    """OpenSSL's certificate bag, and signed data in BER with certificates of its signer, give leaf and chain."""
    openssl = shutil.which("openssl")
    if openssl is None:
        if "openssl" in os.environ.get("LBSYNC_REQUIRE", "").split(","):
            pytest.fail("openssl is required here (LBSYNC_REQUIRE) and missing")
        pytest.skip("openssl is not on this machine")
    names = ("chain.pem", "above.pem", "own.pem", "bag.p7b", "signed.p7b")
    pem, above, own, bag, signed = (str(tmp_path / name) for name in names)
    Path(pem).write_bytes(ca.root_pem + leaf.public_pem())
    Path(above).write_bytes(ca.chain_pem)
    Path(own).write_bytes(leaf.pem())
    subprocess.run([openssl, "crl2pkcs7", "-nocrl", "-certfile", pem, "-out", bag], check=True)
    sign = [openssl, "cms", "-sign", "-in", pem, "-signer", own, "-certfile", above, "-outform", "DER", "-stream"]
    subprocess.run([*sign, "-nodetach", "-out", signed], check=True)
    assert Path(signed).read_bytes()[1:2] == b"\x80", "of no stated length: BER"
    for file in (bag, signed):
        answer = read_response(Path(file).read_bytes())
        assert answer.leaf == leaf.leaf
        assert answer.intermediates == leaf.chain


def test_it_is_compared_with_a_request_by_public_key(leaf: Bundle, ca: TestCA) -> None:
    """An answer is for the key it was asked for and for no other."""
    answer = read_response(bare(leaf.leaf))
    assert answer.public_key == public_bytes(leaf.key.public_key())
    assert answer.public_key != public_bytes(ca.issuer.key.public_key())


def test_of_two_for_one_key_the_later_one_is_taken(ca: TestCA) -> None:
    """A CA that sends the certificate it replaces along is understood."""
    key = new_key("ec256")
    old, new = (ca.issue(["mail.contoso.test"], days=days, private_key=key) for days in (10, 300))
    assert read_response(old.public_pem() + new.public_pem()).leaf == new.leaf


def test_a_self_signed_certificate_is_read(ca: TestCA) -> None:
    """Reading is no verdict: a certificate that is its own issuer has no chain and is told as self-signed."""
    own = TestCA.self_signed(["mail.contoso.test"], key="ec256")
    answer = read_response(bare(own.leaf))
    assert (answer.leaf, answer.chain, answer.info.self_signed) == (own.leaf, (), True)


def test_wrong_files_are_told_apart(leaf: Bundle, ca: TestCA) -> None:
    """Each file people take for an answer has its code and is named for what it is."""
    request = x509.CertificateSigningRequestBuilder().subject_name(leaf.leaf.subject).sign(leaf.key, hashes.SHA256())
    other = ca.issue(["b.test"], key="ec256")
    pfx = write_pfx(leaf, b"secret")
    # The same names, other keys: a chain of last year's CA.
    stale = TestCA.new().issuer.certificate
    cases = [
        (b"", "unreadable", "empty"),
        (b"<html>Please log in again</html>", "unreadable", "some other text"),
        (b"\xff\xfeodd", "unreadable", "some other text"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "unreadable", "damaged"),
        (bare(leaf.leaf)[:300], "unreadable", "cut short"),
        (request.public_bytes(Encoding.PEM), "unreadable", "the request itself"),
        (request.public_bytes(Encoding.DER), "unreadable", "the request itself"),
        (pfx, "unreadable", "a PFX"),
        (leaf.pem(), "unreadable", "private key"),
        (SIGNED_DATA_WITHOUT_CERTIFICATES, "unreadable", "without a readable certificate"),
        (ca.root_pem + ca.chain_pem, "no_certificate", "only certificates of CAs"),
        (leaf.public_pem() + other.public_pem(), "several_keys", "mail.contoso.test; CN=b.test"),
        (p7(leaf.leaf, stale), "chain_broken", "another key"),
    ]
    for data, code, words in cases:
        problem = refused(data)
        assert problem.code == code, problem.message
        assert problem.__cause__ is None
        assert words in problem.message


def test_a_certificate_that_breaks_its_own_rules_is_refused(leaf: Bundle) -> None:
    """One without extensions is read; an extension that cannot be read is a problem, not a traceback."""
    key = ec.generate_private_key(ec.SECP256R1())
    like = leaf.leaf
    builder = x509.CertificateBuilder().subject_name(like.subject).issuer_name(like.issuer).serial_number(7)
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    builder = builder.public_key(key.public_key())
    plain = builder.sign(key, hashes.SHA256())
    assert read_response(bare(plain)).leaf == plain
    for oid in (x509.BasicConstraints.oid, x509.SubjectAlternativeName.oid):
        broken = x509.UnrecognizedExtension(oid, b"\x30\x05\x82\x7fabc")
        assert (
            refused(bare(builder.add_extension(broken, critical=False).sign(key, hashes.SHA256()))).code == "unreadable"
        )


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x30\x80\x06\x09\x2a\x86\x48\x86" + tail))
def test_no_bytes_make_it_stumble(data: bytes) -> None:
    """Whatever the file holds, the answer is a problem with a code."""
    assert refused(data).code == "unreadable"
