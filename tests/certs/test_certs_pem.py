"""PEM files in every usual dress."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, CertificateProblem
from lbsync_certs.pem import certificates, open_pem


def encrypted(bundle: Bundle, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """The bundle with its key encrypted."""
    return bundle.public_pem() + bundle.key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"opensesame"))


def refused(data: bytes, password: str | None = None) -> CertificateProblem:
    """The problem that opening gives."""
    with pytest.raises(CertificateProblem) as caught:
        open_pem(data, password)
    return caught.value


def test_what_we_write_we_read(leaf: Bundle) -> None:
    """A bundle survives the way through PEM."""
    again = open_pem(leaf.pem())
    assert again == leaf
    assert again.pem() == leaf.pem()


def test_dress_does_not_matter(leaf: Bundle) -> None:
    """CRLF, bag attributes, EC parameters, empty lines, the key first, PKCS#1: all are read."""
    key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    text = b"Bag Attributes\n    friendlyName: x\n\n" + key + b"\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
    text += b"-----END EC PARAMETERS-----\n" + leaf.public_pem()
    assert open_pem(text.replace(b"\n", b"\r\n")).pem() == leaf.pem()


def test_the_chain_is_completed_from_intermediates(leaf: Bundle, ca: TestCA) -> None:
    """A file with the leaf alone gets its chain from what is given beside it."""
    alone = open_pem(certificates(leaf.pem())[0].public_bytes(Encoding.PEM) + leaf.pem()[len(leaf.public_pem()) :])
    assert alone.chain == ()
    assert open_pem(alone.pem(), intermediates=[ca.root.certificate, ca.issuer.certificate]).chain == (
        ca.issuer.certificate,
        ca.root.certificate,
    )


def test_encrypted_keys_open_with_their_password(leaf: Bundle) -> None:
    """PKCS#8 and the traditional form; text and bytes; and a password nobody needs is no error."""
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        assert open_pem(encrypted(leaf, form), "opensesame") == leaf
    assert open_pem(encrypted(leaf), b"opensesame") == leaf
    assert open_pem(leaf.pem(), "opensesame") == leaf


def test_problems_are_told_apart(leaf: Bundle, ca: TestCA) -> None:
    """Each way a PEM file cannot be used has its code, and no message holds a secret."""
    other = ca.issue(["b.test"], key="ec256")
    key = leaf.pem()[len(leaf.public_pem()) :]
    damaged = key.replace(key[60:64], b"AAAA")
    cases = [
        (b"", None, "not_pem"),
        (b"\x30\x82\x01", None, "not_pem"),
        (leaf.public_pem(), None, "no_key"),
        (key, None, "no_certificate"),
        (leaf.pem() + other.pem(), None, "several_keys"),
        (other.public_pem() + key, None, "key_mismatch"),
        (encrypted(leaf), None, "wrong_password"),
        (encrypted(leaf), "guess", "wrong_password"),
        (leaf.public_pem() + damaged, None, "unreadable"),
        (key + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "unreadable"),
    ]
    for data, password, code in cases:
        problem = refused(data, password)
        assert problem.code == code
        assert "guess" not in problem.message
        assert key[40:80].decode() not in problem.message
        if code == "wrong_password":
            assert problem.__cause__ is None
            assert problem.__suppress_context__ or problem.__context__ is None


def test_ca_files_are_read_in_pem_and_der(ca: TestCA) -> None:
    """In the order of the file; a file with none of them is a problem."""
    root, issuer = ca.root.certificate, ca.issuer.certificate
    assert certificates(ca.root_pem + ca.chain_pem) == (root, issuer)
    assert certificates(root.public_bytes(Encoding.DER)) == (root,)
    key_only = ca.issue(["a.test"], key="ec256")
    for data, code in (
        (key_only.pem()[len(key_only.public_pem()) :], "no_certificate"),
        (b"garbage", "unreadable"),
    ):
        with pytest.raises(CertificateProblem) as caught:
            certificates(data)
        assert caught.value.code == code
