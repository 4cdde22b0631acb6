"""PFX files as Windows, Exchange and OpenSSL write them."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from asn1crypto import algos, cms, core, pkcs12
from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import pkcs12 as writer
from hypothesis import given, settings
from hypothesis import strategies as st

from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, CertificateProblem
from lbsync_certs.pfx import Encryption, open_pfx, why_closed, write_pfx
from lbsync_certs.pfx_shape import Shape, shape_of

PASSWORD = "pass word"
OpenSslPfx = Callable[..., bytes]


def refused(data: bytes, password: str | bytes | None = PASSWORD) -> CertificateProblem:
    """The problem that opening gives; never with a password in it."""
    with pytest.raises(CertificateProblem) as caught:
        open_pfx(data, password)
    if password:
        assert str(password) not in str(caught.value)
    return caught.value


def pfx(*contents: object) -> bytes:
    """A PFX without seal from content infos."""
    safe = pkcs12.AuthenticatedSafe(list(contents)).dump()
    return bytes(pkcs12.Pfx({"version": "v3", "auth_safe": {"content_type": "data", "content": safe}}).dump())


def clear(*bags: object) -> object:
    """Bags in sight."""
    return cms.ContentInfo({"content_type": "data", "content": pkcs12.SafeContents(list(bags)).dump()})


def encrypted(*bags: object) -> object:
    """Bags under AES-256 with the password."""
    salt, iv = os.urandom(8), os.urandom(16)
    key = PBKDF2HMAC(hashes.SHA256(), 32, salt, 10).derive(PASSWORD.encode())
    padder = padding.PKCS7(128).padder()
    plain = padder.update(pkcs12.SafeContents(list(bags)).dump()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    kdf = {
        "salt": algos.Pbkdf2Salt("specified", core.OctetString(salt)),
        "iteration_count": 10,
        "prf": {"algorithm": "sha256"},
    }
    scheme = {
        "key_derivation_func": {"algorithm": "pbkdf2", "parameters": kdf},
        "encryption_scheme": {"algorithm": "aes256_cbc", "parameters": iv},
    }
    content = {
        "content_type": "data",
        "content_encryption_algorithm": {"algorithm": "pbes2", "parameters": scheme},
        "encrypted_content": encryptor.update(plain) + encryptor.finalize(),
    }
    data = {"version": "v0", "encrypted_content_info": content}
    return cms.ContentInfo({"content_type": "encrypted_data", "content": data})


def key_bag(bundle: Bundle) -> object:
    """A private key in clear, with the attributes Windows adds."""
    der = bundle.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    attributes = [
        {"type": "friendly_name", "values": ["tp-1234"]},
        {"type": "1.3.6.1.4.1.311.17.2", "values": [core.Null()]},
    ]
    return {"bag_id": "key_bag", "bag_value": pkcs12.PrivateKeyInfo.load(der), "bag_attributes": attributes}


def cert_bag(cert: x509.Certificate) -> object:
    """A certificate."""
    value = core.ParsableOctetString(cert.public_bytes(Encoding.DER))
    return {"bag_id": "cert_bag", "bag_value": {"cert_id": "x509", "cert_value": value}}


@pytest.mark.parametrize("encryption", ["3des", "aes256"])
def test_what_we_write_we_read(leaf: Bundle, encryption: Encryption) -> None:
    """Key, leaf and chain survive; password as text or bytes."""
    data = write_pfx(leaf, PASSWORD.encode(), encryption=encryption, name="Exchange 2026")
    for password in (PASSWORD, PASSWORD.encode()):
        assert open_pfx(data, password).pem() == leaf.pem()
    assert refused(data, "no such").code == "wrong_password"
    assert refused(data, None).code == "wrong_password"
    used = shape_of(data).algorithms
    assert used == ({"pkcs12_sha1_tripledes_3key"} if encryption == "3des" else {"pbes2"})


def test_no_key_leaves_without_a_password(leaf: Bundle) -> None:
    """Writing under an empty password is refused."""
    with pytest.raises(ValueError, match="in clear"):
        write_pfx(leaf, b"")


@pytest.mark.parametrize(
    ("options", "algorithm"),
    [
        (("-legacy",), "pkcs12_sha1_rc2_40"),
        (("-legacy", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES"), "pkcs12_sha1_tripledes_3key"),
        (("-legacy", "-keypbe", "PBE-SHA1-RC2-40"), "pkcs12_sha1_rc2_40"),
        (("-legacy", "-certpbe", "PBE-SHA1-RC2-128"), "pkcs12_sha1_rc2_128"),
        ((), "pbes2"),
        (("-macalg", "sha512"), "pbes2"),
    ],
)
@pytest.mark.parametrize("password", ["pass word", "", "pä€ß🔑"])
def test_the_forms_of_openssl_and_windows_open(
    leaf: Bundle, openssl_pfx: OpenSslPfx, options: tuple[str, ...], algorithm: str, password: str
) -> None:
    """RC2-40 and 3DES as Windows writes them, RC2-128, AES; every kind of password; and a wrong one is told."""
    data = openssl_pfx(leaf, *options, password=password)
    assert algorithm in shape_of(data).algorithms
    assert open_pfx(data, password).pem() == leaf.pem()
    assert refused(data, "no such").code == "wrong_password"
    if not password:
        assert open_pfx(data, None) == leaf


def test_without_seal_the_doubt_is_said(leaf: Bundle, openssl_pfx: OpenSslPfx) -> None:
    """No MAC: the right password opens, and a wrong one cannot be told from damage."""
    data = openssl_pfx(leaf, "-nomac", "-certpbe", "AES-256-CBC")
    assert open_pfx(data, PASSWORD).pem() == leaf.pem()
    problem = refused(data, "no such")
    assert problem.code == "wrong_password"
    assert "no MAC" in problem.message


def test_without_any_encryption_it_opens(leaf: Bundle) -> None:
    """A key bag in clear without seal needs no password, and Windows' attributes disturb nothing."""
    data = pfx(clear(key_bag(leaf), cert_bag(leaf.leaf)), clear(*map(cert_bag, leaf.chain)))
    for password in (None, "", "anything"):
        assert open_pfx(data, password).pem() == leaf.pem()


def test_ber_of_indefinite_length_opens(leaf: Bundle) -> None:
    """Old Windows writes the outer shell in BER without lengths."""
    data = write_pfx(leaf, PASSWORD.encode())
    assert data[:2] == b"\x30\x82"
    assert open_pfx(b"\x30\x80" + data[4:] + b"\0\0", PASSWORD).pem() == leaf.pem()


def test_several_keys_are_refused(leaf: Bundle, ca: TestCA) -> None:
    """Two keys in one file, beside each other or nested, are an error that cryptography alone would hide."""
    other = ca.issue(["other.test"])
    both = [key_bag(leaf), key_bag(other), cert_bag(leaf.leaf), cert_bag(other.leaf)]
    nested = {"bag_id": "safe_contents", "bag_value": pkcs12.SafeContents([key_bag(other)])}
    for data in (pfx(clear(*both)), pfx(clear(key_bag(leaf), nested, cert_bag(leaf.leaf)))):
        assert writer.load_pkcs12(data, None).key is not None
        problem = refused(data)
        assert problem.code == "several_keys"
        assert "2 private keys" in problem.message


def test_keys_that_cannot_be_counted_are_refused(leaf: Bundle) -> None:
    """A key inside an encrypted part might be two."""
    data = pfx(encrypted(key_bag(leaf)), clear(cert_bag(leaf.leaf)))
    assert writer.load_pkcs12(data, PASSWORD.encode()).key is not None
    problem = refused(data)
    assert problem.code == "unsupported_pfx"
    assert "cannot be counted" in problem.message
    assert open_pfx(pfx(clear(key_bag(leaf)), encrypted(cert_bag(leaf.leaf))), PASSWORD).leaf == leaf.leaf


def test_a_file_without_key_or_certificate_is_said(leaf: Bundle, openssl_pfx: OpenSslPfx, ca: TestCA) -> None:
    """No key, no certificate, a stranger's key."""
    other = ca.issue(["other.test"], key="ec256")
    assert refused(openssl_pfx(leaf, key=False)).code == "no_key"
    assert refused(pfx(clear(key_bag(leaf)))).code == "no_certificate"
    assert refused(pfx(clear(key_bag(leaf), cert_bag(other.leaf)))).code == "key_mismatch"


def test_the_chain_is_completed_and_checked(leaf: Bundle, ca: TestCA) -> None:
    """Intermediates beside the file complete it; one of the right name with another key breaks it."""
    data = pfx(clear(key_bag(leaf), cert_bag(leaf.leaf)))
    assert open_pfx(data, None).chain == ()
    assert open_pfx(data, None, intermediates=[ca.issuer.certificate]).chain == (ca.issuer.certificate,)
    with pytest.raises(CertificateProblem) as caught:
        open_pfx(data, None, intermediates=[TestCA.new().issuer.certificate])
    assert caught.value.code == "chain_broken"


def test_other_files_are_named_for_what_they_are(leaf: Bundle) -> None:
    """PEM, Base64, a bare certificate, a request, nothing, a piece: each message says which."""
    data = write_pfx(leaf, b"x")
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(leaf.leaf.subject).sign(key, hashes.SHA256())
    cases = [
        (b"  \n", "empty"),
        (leaf.pem(), "PEM text"),
        (base64.encodebytes(data), "Base64 text"),
        (leaf.leaf.public_bytes(Encoding.DER), "without a private key"),
        (request.public_bytes(Encoding.DER), "certificate request"),
        (data[:200], "cut short"),
        (b"hello", "another one"),
        (b"aGVsbG8=", "another one"),
        (data.replace(b"\x02\x01\x03", b"\x02\x01\x02", 1), "another one"),
        (bytes(pkcs12.Pfx({"version": "v3", "auth_safe": {"content_type": "digested_data"}}).dump()), "another one"),
        (bytes(pkcs12.Pfx({"version": "v3", "auth_safe": {"content_type": "data"}}).dump()), "another one"),
    ]
    for each, words in cases:
        problem = refused(each)
        assert problem.code == "not_pfx"
        assert words in problem.message


def test_kinds_that_need_more_than_a_password_are_named(leaf: Bundle) -> None:
    """Sealed by a certificate, encrypted for one, nested without end, or with a seal made to stall."""
    deep: object = pkcs12.SafeContents([cert_bag(leaf.leaf)])
    for _ in range(12):
        deep = pkcs12.SafeContents([{"bag_id": "safe_contents", "bag_value": deep}])
    signed = {
        "version": "v1",
        "digest_algorithms": [],
        "encap_content_info": {"content_type": "data"},
        "signer_infos": [],
    }
    enveloped = {
        "version": "v0",
        "recipient_infos": [],
        "encrypted_content_info": {
            "content_type": "data",
            "content_encryption_algorithm": {"algorithm": "tripledes_3key", "parameters": b"12345678"},
        },
    }
    slow = pkcs12.Pfx.load(write_pfx(leaf, b"x"))
    slow["mac_data"]["iterations"] = 2_000_000_000
    cases = [
        (
            pkcs12.Pfx({"version": "v3", "auth_safe": {"content_type": "signed_data", "content": signed}}).dump(),
            "certificate",
        ),
        (pfx(cms.ContentInfo({"content_type": "enveloped_data", "content": enveloped})), "more than a password"),
        (pfx(cms.ContentInfo({"content_type": "data", "content": deep.dump()})), "nested"),  # type: ignore[attr-defined]
        (slow.dump(force=True), "2000000000 iterations"),
    ]
    for data, words in cases:
        problem = refused(bytes(data))
        assert problem.code == "unsupported_pfx"
        assert words in problem.message


def test_a_right_password_and_contents_that_do_not_open(leaf: Bundle) -> None:
    """The seal says that the password is right; the encryption in use is named."""
    shell = pkcs12.Pfx.load(write_pfx(leaf, PASSWORD.encode()))
    shape = shape_of(shell.dump())
    broken = why_closed(shape, PASSWORD.encode(), rc2_works=True)
    assert broken.code == "unsupported_pfx"
    assert "pkcs12_sha1_tripledes_3key" in broken.message
    bare = why_closed(Shape(0, (), frozenset(), shape.mac), PASSWORD.encode(), rc2_works=True)
    assert "encryption: none" in bare.message


def test_rc2_switched_off_is_told_apart(leaf: Bundle, openssl_pfx: OpenSslPfx) -> None:
    """Wrong password first, then RC2, then doubt."""
    shape = shape_of(openssl_pfx(leaf, "-legacy"))
    assert why_closed(shape, b"no such", rc2_works=False).code == "wrong_password"
    assert why_closed(shape, PASSWORD.encode(), rc2_works=False).code == "legacy_disabled"
    unsealed = Shape(shape.keys, shape.encrypted, shape.algorithms, None)
    assert why_closed(unsealed, b"no such", rc2_works=False).code == "legacy_disabled"
    assert why_closed(unsealed, b"no such", rc2_works=True).code == "wrong_password"


def test_rc2_switched_off_by_environment(leaf: Bundle, openssl_pfx: OpenSslPfx, tmp_path: Path) -> None:
    """With CRYPTOGRAPHY_OPENSSL_NO_LEGACY=1 the message names the variable; 3DES still opens."""
    (tmp_path / "rc2.pfx").write_bytes(openssl_pfx(leaf, "-legacy"))
    (tmp_path / "3des.pfx").write_bytes(write_pfx(leaf, PASSWORD.encode()))
    code = (
        "import sys, pathlib, lbsync_certs.pfx as p\n"
        "for name in ('3des.pfx', 'rc2.pfx'):\n"
        "    try: print(p.open_pfx(pathlib.Path(sys.argv[1], name).read_bytes(), 'pass word').fingerprint)\n"
        "    except p.CertificateProblem as problem: print(problem.code, problem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "CRYPTOGRAPHY_OPENSSL_NO_LEGACY": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    first, second = done.stdout.splitlines()
    assert first == leaf.fingerprint
    assert second.startswith("legacy_disabled")
    assert "CRYPTOGRAPHY_OPENSSL_NO_LEGACY" in second


def test_an_unknown_seal_is_no_verdict(leaf: Bundle) -> None:
    """A seal nobody here knows neither passes nor fails; parts are then opened without one."""
    mac = shape_of(write_pfx(leaf, b"x")).mac
    assert mac is not None
    assert mac.verifies(b"x") is True
    assert mac.verifies(b"y") is False
    assert mac.over(b"other", b"y") is None
    from dataclasses import replace

    strange = replace(mac, algorithm="1.2.840.113549.1.5.14")
    assert strange.verifies(b"x") is None
    assert strange.over(b"other", b"x") is None


def test_passwords_that_are_no_utf8_are_taken_as_latin1(leaf: Bundle, openssl_pfx: OpenSslPfx) -> None:
    """OpenSSL does so; the seal must agree."""
    data = openssl_pfx(leaf, "-legacy", password=os.fsdecode(b"p\xe4ss"))
    assert open_pfx(data, b"p\xe4ss") == leaf
    assert refused(data, b"p\xe5ss").code == "wrong_password"


SAMPLE = write_pfx(TestCA.self_signed(["fuzz.test"], key="ec256"), b"x")


@settings(deadline=None)  # a busy machine is no defect
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255), st.booleans())
def test_damage_never_escapes_as_another_exception(where: int, value: int, cut: bool) -> None:
    """A flipped byte or a cut anywhere gives the bundle or our problem, nothing else."""
    data = SAMPLE[:where] if cut else SAMPLE[:where] + bytes([value]) + SAMPLE[where + 1 :]
    with contextlib.suppress(CertificateProblem):
        assert open_pfx(data, b"x").info.names == ("fuzz.test",)


@settings(deadline=None)  # a busy machine is no defect
@given(st.binary(max_size=200))
def test_garbage_is_no_pfx(data: bytes) -> None:
    """Any bytes at all end in our problem."""
    assert refused(data, None).code in {"not_pfx", "unsupported_pfx", "wrong_password", "no_key"}
