"""The bundle keeps its key to itself and writes what balancers load."""

from __future__ import annotations

import copy
import functools
import pickle
import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

import lbsync_certs
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, CertificateProblem, ProblemCode
from lbsync_certs.bundle import assemble, key_matches
from lbsync_certs.pem import certificates


def numbers(bundle: Bundle) -> list[str]:
    """The private key in the forms it could be spelled in."""
    pem = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    der = bundle.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return [*pem.splitlines()[1:-1], der.hex(), repr(der)]


def test_the_key_is_in_no_text_of_a_bundle(leaf: Bundle) -> None:
    """Neither repr nor str nor format holds the key, or its name."""
    for text in (repr(leaf), str(leaf), f"{leaf}", repr(leaf.info), leaf.info.model_dump_json()):
        assert not any(secret in text for secret in numbers(leaf))
        assert "key=" not in text


def test_a_bundle_is_never_pickled_or_copied(leaf: Bundle) -> None:
    """Every protocol and both ways of copying are refused, and the refusal holds no key."""
    attempts: list[Callable[[], object]] = [
        functools.partial(pickle.dumps, leaf, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    attempts += [functools.partial(copy.copy, leaf), functools.partial(copy.deepcopy, leaf)]
    for attempt in attempts:
        with pytest.raises(TypeError, match="never pickled") as caught:
            attempt()
        assert not any(secret in str(caught.value) for secret in numbers(leaf))


def test_bundles_are_equal_by_what_they_serve(leaf: Bundle, ca: TestCA) -> None:
    """The key object takes no part in equality or hash."""
    again = assemble(
        load_pem_private_key(leaf.pem(), None),
        (leaf.leaf, *leaf.chain),
    )
    assert again == leaf
    assert hash(again) == hash(leaf)
    assert ca.issue(["mail.contoso.test"], key="ec256") != leaf


def test_pem_is_leaf_chain_key_without_root_or_empty_lines(ca: TestCA) -> None:
    """Leaf first, intermediate next, no self-signed root, PKCS#8 key last."""
    issued = ca.issue(["mail.contoso.test"])
    whole = assemble(issued.key, (ca.root.certificate, *issued.chain, issued.leaf))
    assert whole.chain == (ca.issuer.certificate, ca.root.certificate)
    text = whole.pem().decode()
    assert re.findall(r"-----BEGIN (.+)-----", text) == ["CERTIFICATE", "CERTIFICATE", "PRIVATE KEY"]
    assert certificates(text.encode()) == (issued.leaf, ca.issuer.certificate)
    assert all(text.split("\n")[:-1])
    assert text.endswith("-----END PRIVATE KEY-----\n")
    assert "PRIVATE" not in whole.public_pem().decode()


def test_openssl_loads_the_pem(ca: TestCA, tmp_path: Path) -> None:
    """The stdlib's OpenSSL takes the file as HAProxy and NGINX would, RSA and EC, and key and leaf fit."""
    for kind in ("rsa2048", "ec256"):
        path = tmp_path / f"{kind}.pem"
        path.write_bytes(ca.issue(["a.test"], key=kind).pem())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)


def test_self_signed_leaves_are_served_though_roots_are_not(ca: TestCA) -> None:
    """The rule against roots spares the leaf."""
    alone = ca.self_signed(["a.test"], key="ec256")
    assert certificates(alone.pem()) == (alone.leaf,)


def test_the_leaf_is_the_certificate_of_the_key(ca: TestCA) -> None:
    """Order does not matter, and of two certificates with one key the one that ends last is served."""
    old = ca.issue(["a.test"], key="ec256", days=10)
    assert isinstance(old.key, type(ca.root.key))
    new = ca.issue(["a.test"], private_key=old.key, days=20)
    found = assemble(old.key, (ca.issuer.certificate, old.leaf, new.leaf))
    assert found.leaf == new.leaf
    assert found.chain == (ca.issuer.certificate,)


def test_what_cannot_be_put_together_is_told_apart(ca: TestCA) -> None:
    """No certificate, a stranger's key and a key of no use have codes of their own."""
    one, other = ca.issue(["one.test"], key="ec256"), ca.issue(["other.test"], key="ec256")
    cases = [
        (one.key, (), "no_certificate"),
        (one.key, (other.leaf, ca.issuer.certificate), "key_mismatch"),
        (x25519.X25519PrivateKey.generate(), (one.leaf,), "unsupported_key"),
    ]
    for key, found, code in cases:
        with pytest.raises(CertificateProblem) as caught:
            assemble(key, found)
        assert caught.value.code == code


def test_a_certificate_whose_key_cannot_be_read_is_nobodys_leaf(ca: TestCA) -> None:
    """An unknown key algorithm among the certificates is passed over."""
    issued = ca.issue(["one.test"], key="ec256")
    # id-ecPublicKey 1.2.840.10045.2.1 turned into an OID that nobody knows.
    der = issued.leaf.public_bytes(Encoding.DER).replace(
        bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d027f")
    )
    from cryptography import x509

    strange = x509.load_der_x509_certificate(der)
    assert not key_matches(strange, issued.key)
    assert key_matches(issued.leaf, issued.key)


def test_problems_cross_process_borders() -> None:
    """An exception is pickled by code and message (test runners and pools do it)."""
    problem = pickle.loads(pickle.dumps(CertificateProblem(ProblemCode.NO_KEY, "none")))  # noqa: S301  our own bytes
    assert (problem.code, problem.message) == (ProblemCode.NO_KEY, "none")


def test_values_do_without_cryptography() -> None:
    """Naming certificates imports no cryptography; only the bundle does."""
    code = "import sys, lbsync_certs; assert 'cryptography' not in sys.modules; lbsync_certs.Bundle"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'cryptography' in sys.modules"], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Bundel'"):
        _ = lbsync_certs.Bundel  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
