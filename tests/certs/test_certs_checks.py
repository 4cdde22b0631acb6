"""Findings: everything wrong with a certificate, at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, CertificateInfo
from lbsync_certs.checks import check
from lbsync_certs.problem import ProblemCode

NOW = datetime.now(UTC)
NAMES = ("mail.contoso.test", "autodiscover.contoso.test")


def codes(
    subject: CertificateInfo | Bundle, now: datetime = NOW, *, allow_self_signed: bool = False
) -> list[ProblemCode]:
    """The codes of all findings."""
    return [finding.code for finding in check(subject, names=NAMES, now=now, allow_self_signed=allow_self_signed)]


def test_a_good_certificate_has_no_findings(leaf: Bundle, ca: TestCA) -> None:
    """As a value, as a bundle, and against its root."""
    assert check(leaf.info, names=NAMES, now=NOW) == ()
    assert check(leaf, names=NAMES, now=NOW) == ()
    assert check(leaf, names=NAMES, now=NOW, roots=[ca.root.certificate]) == ()


def test_dates_are_inclusive(leaf: Bundle) -> None:
    """The first and the last second are valid, the ones beyond are not."""
    second = timedelta(seconds=1)
    assert codes(leaf.info, leaf.info.not_before) == []
    assert codes(leaf.info, leaf.info.not_after) == []
    assert codes(leaf.info, leaf.info.not_before - second) == ["not_yet_valid"]
    assert codes(leaf.info, leaf.info.not_after + second) == ["expired"]


@pytest.mark.parametrize(
    ("algorithm", "bits", "weak"),
    [
        ("rsa", 2048, False),
        ("rsa", 2047, True),
        ("rsa", 1024, True),
        ("ec", 256, False),
        ("ec", 224, True),
        ("ed25519", 256, False),
        ("ed448", 456, False),
        ("1.2.840.10040.4.1", 0, True),
    ],
)
def test_key_strength(leaf: Bundle, algorithm: str, bits: int, weak: bool) -> None:
    """RSA from 2048 and EC from 256 bits; what clients do not know is weak."""
    info = leaf.info.model_copy(update={"key_algorithm": algorithm, "key_bits": bits})
    assert codes(info) == (["weak_key"] if weak else [])


def test_everything_is_reported_at_once(ca: TestCA) -> None:
    """An old self-signed RSA-1024 certificate for somebody else has four things wrong."""
    poor = ca.self_signed(["other.test"], key="rsa1024", days=1, not_before=NOW - timedelta(days=3))
    assert codes(poor) == ["expired", "name_missing", "weak_key", "self_signed"]
    assert codes(poor, allow_self_signed=True) == ["expired", "name_missing", "weak_key"]


def test_missing_names_say_what_there_is(leaf: Bundle) -> None:
    """The message names what is missing and what the certificate has."""
    (finding,) = check(leaf.info, names=["webmail.contoso.test", *NAMES], now=NOW)
    assert finding.code == "name_missing"
    assert "cover webmail.contoso.test;" in finding.message
    assert "mail.contoso.test, autodiscover.contoso.test" in finding.message
    (bare,) = check(leaf.info.model_copy(update={"names": ()}), names=["a.test"], now=NOW)
    assert "its names are: none" in bare.message


def test_usage_for_clients_only_is_a_finding(ca: TestCA) -> None:
    """Without server authentication in its extended usage it serves nobody."""
    client = ca.issue(NAMES, key="ec256", usages=[ExtendedKeyUsageOID.CLIENT_AUTH])
    assert codes(client) == ["not_for_servers"]


def test_a_bundle_is_checked_as_a_whole(leaf: Bundle, ca: TestCA) -> None:
    """A stranger's key and links that do not hold are found."""
    other = ca.issue(["other.test"], key="ec256")
    assert codes(replace(leaf, key=other.key)) == ["key_mismatch"]
    assert codes(replace(leaf, chain=(ca.root.certificate,))) == ["chain_broken"]


def test_a_chain_that_ends_early(ca: TestCA) -> None:
    """Against roots it is an error; without roots a leaf alone is a warning, since its issuer may be a root."""
    alone = replace(ca.issue(NAMES, key="ec256"), chain=())
    (warning,) = check(alone, names=NAMES, now=NOW)
    assert (warning.code, warning.severity) == ("chain_incomplete", "warning")
    (error,) = check(alone, names=NAMES, now=NOW, roots=[ca.root.certificate])
    assert (error.code, error.severity) == ("chain_incomplete", "error")
    direct = TestCA.new("flat", intermediate=False)
    assert check(direct.issue(NAMES, key="ec256"), names=NAMES, now=NOW, roots=[direct.root.certificate]) == ()
    assert direct.chain_pem == b""
    assert codes(ca.self_signed(NAMES, key="ec256"), allow_self_signed=True) == []
