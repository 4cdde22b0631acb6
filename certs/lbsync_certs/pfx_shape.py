"""The outer shape of a PFX (PKCS#12, RFC 7292): what can be said of it before its contents are decrypted.

Rule of this room: it reads structure only, by asn1crypto, because cryptography shows one key where a file has several. It
decrypts nothing and holds no key. ``pfx`` decides what follows from the shape.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, cast

from asn1crypto import cms, pkcs12

_DEEPEST_NESTING = 8
_MOST_ITERATIONS = 10_000_000
"""Windows writes 2,000; ten million is some seconds of work, and more is a file made to stall whoever opens it."""

_BLOCK = {"sha1": 64, "sha224": 64, "sha256": 64, "sha384": 128, "sha512": 128}
"""Bytes of a block of each hash a seal may use."""

_KEY_BAGS = frozenset({"key_bag", "pkcs8_shrouded_key_bag"})


class MalformedError(ValueError):
    """The bytes are no PFX."""


class UnsupportedError(ValueError):
    """A PFX of a kind that is not opened here; the text says which."""


@dataclass(frozen=True, slots=True)
class Mac:
    """The seal over the contents, made with the password; ``algorithm`` is a name, or an OID nobody here knows."""

    algorithm: str
    salt: bytes
    iterations: int
    digest: bytes
    sealed: bytes

    def verifies(self, password: bytes | None) -> bool | None:
        """Whether the password made this seal; ``None`` where the algorithm is not known (PBMAC1 of RFC 9579)."""
        return self._form(password) is not None if self.algorithm in _BLOCK else None

    def over(self, sealed: bytes, password: bytes | None) -> Mac | None:
        """A seal of the same kind over other contents, or ``None`` where the password did not make this one."""
        form = self._form(password) if self.algorithm in _BLOCK else None
        if form is None:
            return None
        return replace(self, sealed=sealed, digest=self._digest(sealed, form))

    def _form(self, password: bytes | None) -> bytes | None:
        """The form of the password that made this seal."""
        for form in _forms(password):
            if hmac.compare_digest(self._digest(self.sealed, form), self.digest):
                return form
        return None

    def _digest(self, sealed: bytes, password: bytes) -> bytes:
        """RFC 7292 appendix B.2 with purpose 3 (integrity); one round is enough, since key and hash are of one length."""
        name, block = self.algorithm, _BLOCK[self.algorithm]
        key = hashlib.new(name, bytes([3]) * block + _fill(self.salt, block) + _fill(password, block)).digest()
        for _ in range(self.iterations - 1):
            key = hashlib.new(name, key).digest()
        return hmac.digest(key, sealed, name)


@dataclass(frozen=True, slots=True)
class Shape:
    """``keys`` counts private keys in readable sight, ``encrypted`` are the contents out of it (AuthenticatedSafe, DER).

    ``algorithms`` names every encryption in use.
    """

    keys: int
    encrypted: tuple[bytes, ...]
    algorithms: frozenset[str]
    mac: Mac | None

    @property
    def uses_rc2(self) -> bool:
        """True where a part is encrypted with RC2, as Windows does by default up to Server 2016."""
        return any("rc2" in name for name in self.algorithms)

    def parts(self, password: bytes | None) -> tuple[bytes, ...]:
        """Each encrypted content as a PFX of its own.

        Sealed again with ``password``: an empty one has two forms, and OpenSSL finds by the seal which it is.
        """
        return tuple(
            _alone(content, self.mac.over(content, password) if self.mac else None) for content in self.encrypted
        )


class Node(Protocol):
    """The part of asn1crypto's untyped values that is used here."""

    @property
    def native(self) -> object:
        """The value as Python's own types; ``None`` where it is absent."""
        ...

    def __getitem__(self, key: str) -> Node: ...

    def __iter__(self) -> Iterator[Node]: ...

    def dump(self) -> bytes:
        """Its DER."""
        ...


def shape_of(data: bytes) -> Shape:
    """The shape of a PFX. Raises MalformedError or UnsupportedError."""
    try:
        return _shape(cast("Node", pkcs12.Pfx.load(data)))
    except (MalformedError, UnsupportedError):
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        # asn1crypto parses on first touch and says "malformed" in all of these ways.
        raise MalformedError("not a PKCS#12 structure") from error


def _shape(pfx: Node) -> Shape:
    if pfx["version"].native != "v3":
        raise MalformedError("not version 3")
    kind = pfx["auth_safe"]["content_type"].native
    if kind == "signed_data":
        raise UnsupportedError("it is sealed with a certificate, not with a password")
    if kind != "data":
        raise MalformedError("no authenticated safe")
    sealed = _bytes(pfx["auth_safe"]["content"])
    keys, encrypted, algorithms = 0, list[bytes](), set[str]()
    for info in cast("Node", pkcs12.AuthenticatedSafe.load(sealed)):
        match info["content_type"].native:
            case "data":
                for bag in _bags(cast("Node", pkcs12.SafeContents.load(_bytes(info["content"])))):
                    keys += bag["bag_id"].native in _KEY_BAGS
                    algorithms |= _bag_algorithm(bag)
            case "encrypted_data":
                content = info["content"]["encrypted_content_info"]
                algorithms.add(str(content["content_encryption_algorithm"]["algorithm"].native))
                encrypted.append(pkcs12.AuthenticatedSafe([cms.ContentInfo.load(info.dump())]).dump())
            case other:
                raise UnsupportedError(f"a part of it is {other!r}, which needs more than a password")
    return Shape(keys, tuple(encrypted), frozenset(algorithms), _mac(pfx["mac_data"], sealed))


def _bytes(node: Node) -> bytes:
    value = node.native
    if not isinstance(value, bytes):
        raise MalformedError("bytes were expected")
    return value


def _bags(contents: Node, depth: int = 0) -> Iterator[Node]:
    """Every bag, also those inside bags."""
    if depth > _DEEPEST_NESTING:
        raise UnsupportedError("its contents are nested too deeply")
    for bag in contents:
        if bag["bag_id"].native == "safe_contents":
            yield from _bags(bag["bag_value"], depth + 1)
        else:
            yield bag


def _bag_algorithm(bag: Node) -> frozenset[str]:
    if bag["bag_id"].native != "pkcs8_shrouded_key_bag":
        return frozenset()
    return frozenset({str(bag["bag_value"]["encryption_algorithm"]["algorithm"].native)})


def _alone(safe: bytes, mac: Mac | None) -> bytes:
    fields: dict[str, object] = {"version": "v3", "auth_safe": {"content_type": "data", "content": safe}}
    if mac is not None:
        fields["mac_data"] = {
            "mac": {"digest_algorithm": {"algorithm": mac.algorithm}, "digest": mac.digest},
            "mac_salt": mac.salt,
            "iterations": mac.iterations,
        }
    return bytes(pkcs12.Pfx(fields).dump())


def _mac(mac: Node, sealed: bytes) -> Mac | None:
    if mac.native is None:
        return None
    iterations = mac["iterations"].native
    if not isinstance(iterations, int) or not 1 <= iterations <= _MOST_ITERATIONS:
        raise UnsupportedError(f"its seal asks for {iterations} iterations")
    return Mac(
        algorithm=str(mac["mac"]["digest_algorithm"]["algorithm"].native),
        salt=_bytes(mac["mac_salt"]),
        iterations=iterations,
        digest=_bytes(mac["mac"]["digest"]),
        sealed=sealed,
    )


def _fill(value: bytes, block: int) -> bytes:
    """``value`` repeated to whole blocks."""
    length = block * -(-len(value) // block)
    return (value * (length // len(value) + 1))[:length] if value else b""


def _forms(password: bytes | None) -> tuple[bytes, ...]:
    """The password (UTF-8) as it goes into the seal: UTF-16 with a closing zero. Programs differ on an empty one."""
    if not password:
        return b"", b"\0\0"
    return (password.decode().encode("utf-16-be") + b"\0\0",)
