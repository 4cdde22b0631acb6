"""Where certificates come from: files and servers, the right leaf or an error."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from lbsync.errors import CertificateError, Denied, Rejected
from lbsync.facts import ServerFacts, StoredCertificate
from lbsync.materials import FarmSource, FileSource, Materials
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, Fingerprint, Thumbprint
from lbsync_certs.pfx import write_pfx

CA = TestCA.new()
LEAF = CA.issue(["mail.contoso.test"], key="ec256")
OTHER = CA.issue(["other.contoso.test"], key="ec256")


def server(name: str, *bundles: Bundle, exportable: bool | None = True, key: bool = True) -> ServerFacts:
    """A server that holds these certificates."""
    stored = tuple(StoredCertificate(info=b.info, has_private_key=key, exportable=exportable) for b in bundles)
    return ServerFacts(server=name, fqdn=f"{name}.test", version="15.2", build="15.2", certificates=stored)


class Farm:
    """Exports as told, and remembers who was asked."""

    def __init__(self, *servers: ServerFacts, errors: dict[str, Exception] | None = None, gives: Bundle = LEAF) -> None:
        self.servers = servers
        self.errors = errors or {}
        self.gives = gives
        self.asked: list[str] = []

    def export(self, name: str, thumbprint: Thumbprint) -> Bundle:
        """The fake's answer."""
        self.asked.append(name)
        if name in self.errors:
            raise self.errors[name]
        return self.gives

    def materials(self) -> Materials:
        """The room under test, on this farm."""
        return Materials([FarmSource(lambda: self.servers, self.export)])


def code(caught: pytest.ExceptionInfo[CertificateError]) -> str:
    """The reason of an error."""
    return caught.value.code


def test_a_pfx_file_is_opened_with_its_password(tmp_path: Path) -> None:
    """Each use opens the file anew and asks for the password anew."""
    file = tmp_path / "mail.pfx"
    file.write_bytes(write_pfx(LEAF, b"pw"))
    asked: list[datetime] = []

    def password() -> SecretStr:
        asked.append(datetime.now(UTC))
        return SecretStr("pw")

    materials = Materials([FileSource(file, password)])
    assert materials.open(LEAF.fingerprint).fingerprint == LEAF.fingerprint
    materials.open(LEAF.fingerprint)
    assert len(asked) == 2


def test_a_pem_file_needs_no_password(tmp_path: Path) -> None:
    """PEM and PFX are told apart by what is in them."""
    file = tmp_path / "mail.pem"
    file.write_bytes(LEAF.pem())
    assert FileSource(file, lambda: None).read().fingerprint == LEAF.fingerprint


def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    """The file is named and the password is not."""
    file = tmp_path / "mail.pfx"
    file.write_bytes(write_pfx(LEAF, b"right"))
    with pytest.raises(CertificateError) as caught:
        FileSource(file, lambda: SecretStr("hunter2")).read()
    assert code(caught) == "wrong_password"
    assert str(file) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The path is told."""
    with pytest.raises(CertificateError, match="No such file") as caught:
        FileSource(tmp_path / "none.pfx", lambda: None).read()
    assert code(caught) == "unreadable"


def test_a_file_with_another_leaf_is_passed_over(tmp_path: Path) -> None:
    """A file has one certificate; for any other the servers are asked."""
    file = tmp_path / "mail.pem"
    file.write_bytes(OTHER.pem())
    farm = Farm(server("EX01", LEAF))
    materials = Materials([FileSource(file, lambda: None), FarmSource(lambda: farm.servers, farm.export)])
    assert materials.open(LEAF.fingerprint) == LEAF
    assert farm.asked == ["EX01"]


def test_the_first_server_that_holds_it_exportable_is_asked() -> None:
    """Servers without it, without its key or with a locked key are not asked; an unknown state is worth a try."""
    farm = Farm(
        server("EX01", OTHER),
        server("EX02", LEAF, exportable=False),
        server("EX03", LEAF, key=False),
        server("EX04", LEAF, exportable=None),
    )
    assert farm.materials().open(LEAF.fingerprint) == LEAF
    assert farm.asked == ["EX04"]


def test_a_server_that_fails_is_passed_over() -> None:
    """One server's trouble does not stop a farm that has the certificate elsewhere."""
    farm = Farm(server("EX01", LEAF), server("EX02", LEAF), errors={"EX01": Rejected("no")})
    assert farm.materials().open(LEAF.fingerprint) == LEAF
    assert farm.asked == ["EX01", "EX02"]


def test_the_first_failure_is_told_when_all_fail() -> None:
    """What went wrong first is what an administrator should see."""
    farm = Farm(server("EX01", LEAF), server("EX02", LEAF), errors={"EX01": Rejected("a"), "EX02": Rejected("b")})
    with pytest.raises(Rejected, match="a"):
        farm.materials().open(LEAF.fingerprint)


def test_a_refused_login_is_never_tried_elsewhere() -> None:
    """Accounts lock out."""
    farm = Farm(server("EX01", LEAF), server("EX02", LEAF), errors={"EX01": Denied("password")})
    with pytest.raises(Denied):
        farm.materials().open(LEAF.fingerprint)
    assert farm.asked == ["EX01"]


def test_nobody_has_it() -> None:
    """A key that is not exportable anywhere is told as such, with the remedy."""
    farm = Farm(server("EX01", LEAF, exportable=False))
    with pytest.raises(CertificateError, match="my mail") as caught:
        Materials([FarmSource(lambda: farm.servers, farm.export)], {LEAF.fingerprint: "my mail"}).open(LEAF.fingerprint)
    assert code(caught) == "not-exportable"
    assert "import it again exportable" in caught.value.remedy


def test_another_certificate_than_asked_for_is_not_used() -> None:
    """What an export answers is checked by fingerprint."""
    with pytest.raises(CertificateError) as caught:
        Farm(server("EX01", LEAF), gives=OTHER).materials().open(Fingerprint(LEAF.fingerprint))
    assert code(caught) == "another-certificate"
