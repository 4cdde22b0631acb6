"""Find a secret however it is written: raw, hexadecimal, base64 at any offset, in two widths, with lines wrapped.

Rule of this file: it must rather find too much; a needle is long enough never to be met by chance.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote_from_bytes

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_SHORTEST = 12
_WRAPPING = re.compile(rb"\s|\\[nr]|&#10;")


class Needles:
    """Everything that gives a secret away, by what it is called."""

    def __init__(self) -> None:
        self._forms: dict[bytes, str] = {}

    def add(self, name: str, secret: bytes) -> None:
        """A password or a number, at least a dozen bytes long."""
        if len(secret) < _SHORTEST:
            raise ValueError(f"{name} is too short to be looked for")
        wide = secret.decode("latin-1").encode("utf-16-le")
        for form in (secret, secret[::-1], wide):
            found = [
                form,
                form.hex().encode(),
                form.hex().upper().encode(),
                *_base64_of(form),
                quote_from_bytes(form).encode(),
            ]
            self._forms.update(dict.fromkeys(found, name))

    def add_key(self, name: str, key: PrivateKeyTypes) -> None:
        """A private key: three stretches of each of its usual encodings, which any form of it on a disk has in it."""
        for kind in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            der = key.private_bytes(Encoding.DER, kind, NoEncryption())
            # The end holds the private numbers; the beginning is the same for every key of its kind.
            for start in (len(der) // 2, len(der) * 3 // 4, len(der) - 40):
                self.add(name, der[start : start + 36])

    def found_in(self, content: bytes) -> set[str]:
        """The names of the secrets in a text or file, line breaks inside them notwithstanding."""
        bare = _WRAPPING.sub(b"", content)
        # Without its line breaks a text holds every form that has none itself.
        return {name for form, name in self._forms.items() if form in (content if _WRAPPING.search(form) else bare)}


def _base64_of(form: bytes) -> Iterable[bytes]:
    """What base64 of any text around it contains: its three alignments, without the characters its neighbours change."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + form).rstrip(b"=")
        yield encoded[(shift * 8 + 5) // 6 : -1]
