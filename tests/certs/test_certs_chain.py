"""Chains hold by signature, whatever the names and the order."""

from __future__ import annotations

from itertools import permutations

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from lbsync.testing.ca import TestCA
from lbsync_certs import CertificateProblem
from lbsync_certs.chain import broken_link, issued_by, missing_issuer, order

CA = TestCA.new("deep root")
FOREIGN = TestCA.new("foreign root")
LEAF = CA.issue(["a.test"], key="ec256").leaf
UP = (CA.issuer.certificate, CA.root.certificate)
POOL = (*UP, FOREIGN.issuer.certificate, FOREIGN.root.certificate, LEAF)


@settings(deadline=None)  # a busy machine is no defect
@given(st.permutations(POOL))
def test_any_order_of_the_pool_gives_the_same_chain(pool: list[x509.Certificate]) -> None:
    """Strangers, duplicates and the leaf itself are left out."""
    assert order(LEAF, (*pool, *pool)) == UP


def test_the_chain_goes_as_far_as_the_pool() -> None:
    """An intermediate without its root is a chain; nothing is a chain too."""
    assert order(LEAF, UP[:1]) == UP[:1]
    assert order(LEAF, (CA.root.certificate,)) == ()
    assert order(LEAF, ()) == ()
    assert order(CA.root.certificate, POOL) == ()


def test_an_intermediate_of_the_same_name_and_another_key_breaks_the_chain() -> None:
    """A re-keyed CA must not be served: its name fits, its signature does not."""
    impostor = TestCA.new("deep root").issuer.certificate
    assert impostor.subject == CA.issuer.certificate.subject
    with pytest.raises(CertificateProblem, match="another key") as caught:
        order(LEAF, (impostor,))
    assert caught.value.code == "chain_broken"
    assert order(LEAF, (impostor, *UP)) == UP, "with the right one beside it, nothing is broken"


def test_a_stale_root_does_no_harm() -> None:
    """Roots are not served, so an old one of the same name is passed over."""
    stale = TestCA.new("deep root").root.certificate
    assert order(LEAF, (UP[0], stale)) == UP[:1]


def test_of_several_certificates_of_one_ca_the_pick_is_stable() -> None:
    """The self-signed one is taken where there is one, else the one that ends last; in any order of the pool."""
    from datetime import UTC, datetime, timedelta

    from cryptography.hazmat.primitives import hashes
    from cryptography.x509 import CertificateBuilder

    def cross(days: int) -> x509.Certificate:
        root, key = CA.root.certificate, FOREIGN.root.key
        builder = CertificateBuilder(
            issuer_name=FOREIGN.root.certificate.subject,
            subject_name=root.subject,
            public_key=root.public_key(),
            serial_number=days,
            not_valid_before=datetime.now(UTC) - timedelta(days=1),
            not_valid_after=datetime.now(UTC) + timedelta(days=days),
        )
        return builder.sign(key, hashes.SHA256())

    short, long = cross(10), cross(20)
    for pool in permutations((UP[0], short, long)):
        assert order(LEAF, pool) == (UP[0], long)
    for pool in permutations((*UP, short, long)):
        assert order(LEAF, pool) == UP


def test_links_are_checked_as_they_stand() -> None:
    """A chain out of order is named by its first wrong link."""
    assert broken_link(LEAF, UP) is None
    assert broken_link(LEAF, ()) is None
    assert broken_link(LEAF, UP[::-1]) == "CN=deep root did not sign CN=a.test"
    assert issued_by(LEAF, UP[0])
    assert not issued_by(LEAF, UP[1])


def test_a_chain_ends_in_a_root_or_names_what_is_missing() -> None:
    """The root may be in the chain, above it, or missing."""
    roots = (CA.root.certificate,)
    assert missing_issuer(LEAF, UP, roots) is None
    assert missing_issuer(LEAF, UP[:1], roots) is None
    assert missing_issuer(LEAF, (), roots) == "CN=deep root (issuing)"
    assert missing_issuer(LEAF, UP[:1], (FOREIGN.root.certificate,)) == "CN=deep root"
