"""Renewed certificates as others drop them: PFX and PEM files, globs, folders, certbot's four files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from lbsync.dropped import DropSource
from lbsync.errors import CertificateError
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle
from lbsync_certs.pfx import write_pfx

CA = TestCA.new()
ONE, TWO = (CA.issue(["mail.test"], key="ec256") for _ in range(2))


def source(*places: Path | str, password: str | None = None) -> DropSource:
    """A source of these places."""
    secret = SecretStr(password) if password else None
    return DropSource(tuple(map(str, places)), lambda: secret)


def key_pem(bundle: Bundle) -> bytes:
    """The key alone, as ``privkey.pem``."""
    return bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certbot(folder: Path, bundle: Bundle) -> None:
    """A folder as certbot keeps it."""
    folder.mkdir()
    (folder / "privkey.pem").write_bytes(key_pem(bundle))
    (folder / "fullchain.pem").write_bytes(bundle.public_pem())
    (folder / "cert.pem").write_bytes(bundle.leaf.public_bytes(Encoding.PEM))
    (folder / "chain.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in bundle.chain))
    (folder / "README").write_text("This directory contains your keys and certificates.")


def test_a_file_a_glob_and_a_folder_are_looked_at(tmp_path: Path) -> None:
    """Each certificate once, whatever names it; what is not there is nothing."""
    (tmp_path / "one.pfx").write_bytes(write_pfx(ONE, b"secret"))
    (tmp_path / "two.PEM").write_bytes(TWO.pem())
    (tmp_path / "notes.txt").write_text("-----BEGIN nothing")
    places = (tmp_path, tmp_path / "*.pfx", tmp_path / "two.PEM", tmp_path / "missing.pfx", tmp_path / "none" / "*")
    found = source(*places, password="secret").look()
    assert [(Path(one.path).name, one.bundle) for one in found] == [("one.pfx", ONE), ("two.PEM", TWO)]
    assert source(*places, password="secret").open(TWO.fingerprint) == TWO
    assert source(tmp_path / "one.pfx", password="secret").open(TWO.fingerprint) is None


def test_a_key_and_its_certificates_may_be_files_of_their_own(tmp_path: Path) -> None:
    """As certbot has them, a renewal that it kept beside the old ones too."""
    certbot(tmp_path / "live", ONE)
    (found,) = source(tmp_path / "live").look()
    assert found.bundle is not None
    assert (found.bundle.fingerprint, found.bundle.chain) == (ONE.fingerprint, ONE.chain)
    assert Path(found.path).name == "privkey.pem"
    (tmp_path / "live" / "privkey2.pem").write_bytes(key_pem(TWO))
    (tmp_path / "live" / "cert2.pem").write_bytes(TWO.public_pem())
    leaves = {one.bundle.fingerprint for one in source(tmp_path / "live" / "*.pem").look() if one.bundle}
    assert leaves == {ONE.fingerprint, TWO.fingerprint}


def test_certificates_without_a_key_and_keys_without_certificates_are_nothing(tmp_path: Path) -> None:
    """Half of a pair is on its way, or lies elsewhere."""
    (tmp_path / "chain.pem").write_bytes(ONE.public_pem())
    assert source(tmp_path).look() == ()
    (tmp_path / "chain.pem").unlink()
    (tmp_path / "privkey.pem").write_bytes(key_pem(ONE))
    assert source(tmp_path).look() == ()


def test_what_cannot_be_opened_is_told_with_its_path_and_stops_nothing(tmp_path: Path) -> None:
    """A wrong password, a text, half a file, a key of something else: the others are found."""
    (tmp_path / "a.pfx").write_bytes(write_pfx(ONE, b"another"))
    (tmp_path / "b.pfx").write_text("no certificate at all")
    (tmp_path / "c.pem").write_bytes(TWO.pem()[: len(TWO.pem()) // 2] + key_pem(ONE))
    (tmp_path / "d.pem").write_bytes(TWO.pem())
    found = source(tmp_path, password="secret").look()
    assert [Path(one.path).name for one in found if one.problem] == ["a.pfx", "b.pfx", "c.pem"]
    assert [one.bundle for one in found if one.bundle] == [TWO]
    assert "secret" not in repr(found)
    assert key_pem(TWO).decode().splitlines()[1] not in repr(found)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """Thousands of files are no certificates: it was named by mistake."""
    for number in range(501):
        (tmp_path / f"{number}.log").touch()
    with pytest.raises(CertificateError, match="no place for certificates"):
        source(tmp_path).look()


def test_a_file_that_cannot_be_read_is_told_with_its_path(tmp_path: Path) -> None:
    """A disk or a share that says no stops nothing else."""
    (tmp_path / "broken.pem").symlink_to("/proc/self/mem")
    (tmp_path / "one.pem").write_bytes(ONE.pem())
    broken, one = source(tmp_path).look()
    assert (Path(broken.path).name, broken.bundle) == ("broken.pem", None)
    assert "cannot be read" in broken.problem
    assert one.bundle == ONE
