"""Names: which certificate covers which host."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbsync.testing.ca import TestCA
from lbsync_certs import CertificateInfo, CertificateProblem
from lbsync_certs.names import ascii_name, covers, missing_names

BASE = TestCA.self_signed(["x.test"], key="ec256").info


def of(*names: str, addresses: tuple[str, ...] = ()) -> CertificateInfo:
    """A certificate with these names."""
    return BASE.model_copy(update={"names": names, "addresses": addresses})


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("mail.contoso.com", "mail.contoso.com", True),
        ("mail.contoso.com", "MAIL.Contoso.Com.", True),
        ("mail.contoso.com", "contoso.com", False),
        ("*.contoso.com", "mail.contoso.com", True),
        ("*.contoso.com", "*.contoso.com", True),
        ("*.contoso.com", "contoso.com", False),
        ("*.contoso.com", "a.mail.contoso.com", False),
        ("*.contoso.com", "mail.contoso.org", False),
        ("*.mail.contoso.com", "*.contoso.com", False),
        ("*.com", "contoso.com", False),
        ("m*.contoso.com", "mail.contoso.com", False),
        ("xn--mller-kva.example", "müller.example", True),
        ("xn--mller-kva.example", "MÜLLER.example", True),
        ("*.xn--mller-kva.example", "post.müller.example", True),
        ("*.müller.example", "post.müller.example", False),
        ("mail_1.contoso.com", "mail_1.contoso.com", True),
        ("192.0.2.1", "192.0.2.1", False),
    ],
)
def test_names_match_as_clients_match_them(pattern: str, host: str, covered: bool) -> None:
    """A wildcard is a whole label and stands for one; IDN names compare as A-labels."""
    assert covers(of(pattern), host) is covered


def test_addresses_match_addresses_only() -> None:
    """IPv6 in any spelling, with or without brackets; a wildcard never covers an address."""
    info = of("*.0.2.1", addresses=("192.0.2.1", "2001:db8::1"))
    assert covers(info, "192.0.2.1")
    assert covers(info, "[2001:DB8:0::1]")
    assert not covers(info, "192.0.2.2")
    assert not covers(of("*.0.2.1"), "192.0.2.1")


def test_missing_names_are_given_back_as_asked() -> None:
    """In order and in the operator's spelling."""
    assert missing_names(of("*.b.test"), ("Ä.test", "a.b.test", "b.test")) == ("Ä.test", "b.test")


@pytest.mark.parametrize(
    "name", ["", ".", "*.", "a..b", "a b.test", "-", "a" * 64 + ".test", "ä" * 70 + ".test", "x." * 127 + "x"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    """Each is a problem that repeats the name."""
    with pytest.raises(CertificateProblem) as caught:
        ascii_name(name)
    assert caught.value.code == "bad_name"
    assert repr(name) in caught.value.message


LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20)


@settings(deadline=None)  # a busy machine is no defect
@given(st.lists(LABELS, min_size=3, max_size=5))
def test_a_wildcard_covers_exactly_one_label(labels: list[str]) -> None:
    """For every host: its parent's wildcard covers it, its grandparent's does not."""
    host = ".".join(labels)
    if ascii_name(host) == host and not host.replace(".", "").isdigit():
        assert covers(of("*." + ".".join(labels[1:])), host)
        assert not covers(of("*." + ".".join(labels[2:])), host)


@settings(deadline=None)  # a busy machine is no defect
@given(st.text(max_size=40))
def test_names_never_fail_otherwise(text: str) -> None:
    """Any text is a name or a problem, and a name in its final form stays as it is."""
    with contextlib.suppress(CertificateProblem):
        name = ascii_name(text)
        assert name.isascii()
        assert ascii_name(name) == name
