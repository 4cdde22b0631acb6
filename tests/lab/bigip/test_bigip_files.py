"""Uploads, the downloads folder, keys and certificates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from lbsync.lab.bigip.device import BigIp
from lbsync.testing.ca import TestCA

Captured = Callable[[str], Any]
_FOLDER = "/var/config/rest/downloads"


def test_upload_in_chunks(bigip: BigIp, admin: Any, captured: Captured) -> None:
    """A file arrives in chunks; the last is answered in the captured shape, and the file lies in the folder."""
    uploads = "/mgmt/shared/file-transfer/uploads/f.txt"
    first = admin.raw("POST", uploads, data=b"abc", headers={"Content-Range": "0-2/5"}).json()
    assert first["remainingByteCount"] == 2
    assert bigip.downloads == ("tmp/f.txt",)
    last = admin.raw("POST", uploads, data=b"de", headers={"Content-Range": "3-4/5"}).json()
    assert set(last) == set(captured("upload_last_chunk_200"))
    assert last["remainingByteCount"] == 0
    assert last["usedChunks"] == {"0": 3, "3": 2}
    assert bigip.downloads == ("f.txt",)


@pytest.mark.parametrize("span", ["", "bytes 0-4/5", "0-3/5", "0-5/5", "2-4/5", "3-7/9"])
def test_bad_ranges(bigip: BigIp, admin: Any, span: str) -> None:
    """A range that is malformed, out of order, or not that of the chunk is refused and leaves no file."""
    headers = {"Content-Range": span} if span else {}
    answer = admin.raw("POST", "/mgmt/shared/file-transfer/uploads/f", data=b"12345", headers=headers)
    assert answer.status_code == 400
    assert bigip.downloads == ()


def test_list_and_remove(bigip: BigIp, admin: Any) -> None:
    """unix-ls lists the folder and unix-rm empties it; neither reaches anything else."""
    admin.upload("a.key", b"secret")
    run = {"command": "run", "utilCmdArgs": _FOLDER}
    assert admin.tm("POST", "util/unix-ls", run)["commandResult"] == "a.key\n"
    one = run | {"utilCmdArgs": f"{_FOLDER}/a.key"}
    assert admin.tm("POST", "util/unix-ls", one)["commandResult"] == f"{_FOLDER}/a.key\n"
    told = admin.tm("POST", "util/unix-rm", one)
    assert told == {"kind": "tm:util:unix-rm:runstate", **one}
    assert bigip.downloads == ()
    assert "No such file" in admin.tm("POST", "util/unix-rm", one)["commandResult"]
    forced = run | {"utilCmdArgs": f"-f {_FOLDER}/a.key"}
    assert admin.tm("POST", "util/unix-rm", forced) == {"kind": "tm:util:unix-rm:runstate", **forced}
    assert "cannot remove" in admin.tm("POST", "util/unix-rm", run | {"utilCmdArgs": "-f /etc/passwd"})["commandResult"]
    assert "cannot access" in admin.tm("POST", "util/unix-ls", run | {"utilCmdArgs": "/etc"})["commandResult"]
    assert admin.refused("POST", "util/unix-rm", {"command": "go"})[0] == 400
    assert admin.refused("POST", "util/unix-rm", run | {"utilCmdArgs": "'"})[0] == 400


@pytest.mark.parametrize("path", ["f.key", "tmp/f.key"])
def test_half_finished_uploads(bigip: BigIp, admin: Any, path: str) -> None:
    """An upload that nobody went on with is listed, and goes with the name of its file."""
    admin.upload("a.key", b"secret")
    uploads = "/mgmt/shared/file-transfer/uploads/f.key"
    admin.raw("POST", uploads, data=b"abc", headers={"Content-Range": "0-2/5"})
    assert list(bigip.downloads) == ["a.key", "tmp/f.key"]
    run = {"command": "run", "utilCmdArgs": _FOLDER}
    assert admin.tm("POST", "util/unix-ls", run)["commandResult"] == "a.key\ntmp\n"
    assert admin.tm("POST", "util/unix-ls", run | {"utilCmdArgs": f"{_FOLDER}/tmp/"})["commandResult"] == "f.key\n"
    assert "commandResult" not in admin.tm("POST", "util/unix-rm", run | {"utilCmdArgs": f"{_FOLDER}/{path}"})
    assert bigip.downloads == ("a.key",)


def test_read_only_downloads(bigip: BigIp, admin: Any) -> None:
    """A folder that cannot be written keeps its files: rm says so in a text, and is answered 200."""
    admin.upload("a.key", b"secret")
    bigip.read_only_downloads = True
    assert bigip.read_only_downloads
    body = {"command": "run", "utilCmdArgs": f"-f {_FOLDER}/a.key {_FOLDER}/none"}
    said = admin.tm("POST", "util/unix-rm", body)["commandResult"]
    assert said == f"/bin/rm: cannot remove `{_FOLDER}/a.key': Read-only file system\n"
    assert bigip.downloads == ("a.key",)


def test_shapes(admin: Any, ca: TestCA, captured: Captured) -> None:
    """Keys and certificates show what real ones show; neither shows its content."""
    admin.pair("a", ca)
    key = admin.tm("GET", "sys/file/ssl-key/~Common~a.key")
    cert = admin.tm("GET", "sys/file/ssl-cert/~Common~a.crt")
    real_key = next(one for one in captured("get_sys_filessl_key")["items"] if "sourcePath" in one)
    real_cert = captured("get_sys_filessl_cert")["items"][0]
    assert set(real_key) - {"passphrase"} <= set(key)
    assert set(real_cert) - {"systemPath"} <= set(cert)
    assert cert["fingerprint"].startswith("SHA256/")
    assert cert["subject"] == "CN=mail.example.test"
    assert cert["subjectAlternativeName"] == "DNS:mail.example.test"
    assert "PRIVATE" not in str(key) + str(cert)


def test_default_certificate(admin: Any, captured: Captured) -> None:
    """The pair a device comes with has a path on the device and no source."""
    for name, collection, captures in (
        ("default.crt", "ssl-cert", "get_sys_filessl_cert"),
        ("default.key", "ssl-key", "get_sys_filessl_key"),
    ):
        ours = admin.tm("GET", f"sys/file/{collection}/~Common~{name}")
        real = next(one for one in captured(captures)["items"] if one["name"] == name)
        assert set(real) - {"email"} <= set(ours)
        assert "sourcePath" not in ours
    assert admin.tm("GET", "sys/file/ssl-cert/~Common~ca-bundle.crt")["isBundle"] == "true"


def test_crypto_view(admin: Any, captured: Captured) -> None:
    """sys/crypto shows the same keys and certificates in its own shape."""
    for what in ("key", "cert"):
        ours = admin.tm("GET", f"sys/crypto/{what}")
        real = captured(f"get_sys_crypto{what}")
        assert set(ours) == set(real)
        mine = next(
            one for one in ours["items"] if one["name"] == f"/Common/default.{'key' if what == 'key' else 'crt'}"
        )
        theirs = next(one for one in real["items"] if one["name"] == mine["name"])
        place = {"city", "country", "emailAddress", "organization", "ou", "state"}
        assert set(theirs) - place <= set(mine)
        assert admin.tm("GET", f"sys/crypto/{what}/{mine['name'].replace('/', '~')}") == mine
        assert admin.refused("GET", f"sys/crypto/{what}/~Common~none")[0] == 404


def test_install(bigip: BigIp, admin: Any, ca: TestCA) -> None:
    """Install makes a file object of an upload, and overwrites it the next time."""
    admin.pair("x", ca)
    body = {"command": "install", "name": "mail", "from-local-file": f"{_FOLDER}/x.crt"}
    admin.tm("POST", "sys/crypto/cert", body)
    admin.tm("POST", "sys/crypto/cert", body)
    admin.tm("POST", "sys/crypto/key", body | {"from-local-file": f"{_FOLDER}/x.key"})
    made = bigip.object("sys/file/ssl-cert", "/Common/mail.crt")
    assert made is not None
    assert made["revision"] == 2
    admin.tm("DELETE", "sys/crypto/key/~Common~mail.key")
    assert bigip.object("sys/file/ssl-key", "/Common/mail.key") is None
    assert admin.refused("POST", "sys/crypto/cert", {"command": "install"})[0] == 400


def test_refused_files(admin: Any) -> None:
    """A source that is not there, and one that is no PEM, make no object."""
    body = {"name": "a.crt", "sourcePath": f"file:{_FOLDER}/a.crt"}
    assert "expected to exist" in admin.refused("POST", "sys/file/ssl-cert", body)[1]
    admin.upload("a.crt", b"no certificate")
    assert admin.refused("POST", "sys/file/ssl-cert", body)[0] == 400
    assert admin.refused("POST", "sys/file/ssl-key", body | {"name": "a.key"})[0] == 400
    assert admin.refused("POST", "sys/file/ssl-cert", {"name": "a.crt"})[0] == 400
    assert admin.refused("GET", "sys/file/ssl-cert/~Common~a.crt") == (
        404,
        "01020036:3: The requested Certificate File (/Common/a.crt) was not found.",
    )


def test_new_content(bigip: BigIp, admin: Any, ca: TestCA) -> None:
    """A PATCH with a source replaces the content and counts a revision; a file object in use cannot be deleted."""
    admin.pair("a", ca)
    before = admin.tm("GET", "sys/file/ssl-cert/~Common~a.crt")
    admin.upload("b.crt", ca.issue(["other.test"], key="ec256").leaf.public_bytes(Encoding.PEM))
    after = admin.tm("PATCH", "sys/file/ssl-cert/~Common~a.crt", {"sourcePath": f"file:{_FOLDER}/b.crt"})
    assert after["revision"] == before["revision"] + 1
    assert after["subject"] == "CN=other.test"
    admin.tm("PUT", "sys/file/ssl-key/~Common~a.key", {"sourcePath": f"file:{_FOLDER}/a.key"})
    admin.tm("DELETE", "sys/file/ssl-cert/~Common~a.crt")
    assert bigip.paths("sys/file/ssl-cert") == ("/Common/ca-bundle.crt", "/Common/default.crt")
    assert admin.refused("DELETE", "sys/file/ssl-cert/~Common~default.crt") == (
        400,
        "01071349:3: File object by name (/Common/default.crt) is in use.",
    )


def test_locked_key(bigip: BigIp, admin: Any, ca: TestCA) -> None:
    """An encrypted key works with its passphrase, which is never shown again."""
    bundle = ca.issue(["a.test"], key="ec256")
    admin.upload("k", bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")))
    admin.upload("c", bundle.leaf.public_bytes(Encoding.PEM))
    admin.tm("POST", "sys/file/ssl-cert", {"name": "a.crt", "sourcePath": f"file:{_FOLDER}/c"})
    body = {"name": "a.key", "sourcePath": f"file:{_FOLDER}/k"}
    assert admin.refused("POST", "sys/file/ssl-key", body | {"passphrase": "wrong"})[0] == 400
    told = admin.tm("POST", "sys/file/ssl-key", body | {"passphrase": "pass"})
    assert told["securityType"] == "password"
    assert told["passphrase"].startswith("$M$")
    bare = admin.tm("POST", "sys/file/ssl-key", body | {"name": "bare.key"})
    assert bare["keySize"] == 0
    pair = {"name": "x", "cert": "/Common/a.crt", "key": "/Common/bare.key"}
    assert "01070313" in admin.refused("POST", "ltm/profile/client-ssl", {"name": "c", "certKeyChain": [pair]})[1]
    admin.tm("POST", "ltm/profile/client-ssl", {"name": "c", "certKeyChain": [pair | {"passphrase": "pass"}]})
    admin.tm("POST", "ltm/profile/client-ssl", {"name": "d", "certKeyChain": [pair | {"key": "/Common/a.key"}]})
    shown = admin.tm("GET", "ltm/profile/client-ssl/~Common~c")
    assert shown["certKeyChain"][0]["passphrase"].startswith("$M$")
    assert all("pass" not in str(seen.body.get("passphrase", "")) for seen in bigip.log)


def test_rsa_and_bundles(bigip: BigIp, ca: TestCA) -> None:
    """An RSA pair shows its size; a chain is a bundle; an administrator's file names no source."""
    bundle = ca.issue(["a.test"])
    made = bigip.foreign_file("sys/file/ssl-cert", "rsa.crt", bundle.leaf.public_bytes(Encoding.PEM))
    assert (made["certificateKeySize"], made["keyType"]) == (2048, "rsa-public")
    assert "sourcePath" not in made
