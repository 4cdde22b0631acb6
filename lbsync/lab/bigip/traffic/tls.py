"""What client-ssl and server-ssl profiles make of a TCP connection.

Rule of this room: a private key is written to disk only encrypted under a random password, for the moment in which the
``ssl`` module reads it. Neither side ever goes on in clear.
"""

from __future__ import annotations

import ipaddress
import secrets
import ssl
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from lbsync.lab.bigip.plane import Body, Config
from lbsync.lab.bigip.traffic.objects import Misconfigured, bodies, flag, number, seconds, text, words

_NO_CLIENT = frozenset({"ignore", ""})


class NotVerified(OSError):
    """A server showed a certificate that its server-ssl profile does not accept."""


class Tunnel(ssl.SSLObject):
    """TLS with a client; ``asked`` is the name in its hello, empty where there was none."""

    asked = ""


class Contexts:
    """Contexts by what they are made of, so that the same profile twice is one context, with one session cache."""

    def __init__(self, directory: Path) -> None:
        """``directory`` takes an encrypted key for a moment."""
        self._directory = directory
        self._made: dict[bytes, ssl.SSLContext] = {}
        self._wanted: set[bytes] = set()

    def begin(self) -> None:
        """A configuration is about to be read."""
        self._wanted = set()

    def end(self) -> None:
        """It runs: forget what it does not use."""
        self._made = {key: context for key, context in self._made.items() if key in self._wanted}

    def make(self, kind: int, pair: Pair | None, profile: Body, ca: bytes = b"", salt: str = "") -> ssl.SSLContext:
        """A context of ``ssl.PROTOCOL_TLS_SERVER`` or ``_CLIENT``. ``salt`` parts what is not shared. Raises Misconfigured."""
        options = frozenset(words(profile, "tmOptions"))
        parts = (
            str(kind),
            salt,
            ca.hex(),
            *sorted(options),
            text(profile, "sessionTicket"),
            pair.digest if pair else "",
        )
        key = sha256("\0".join(parts).encode()).digest()
        self._wanted.add(key)
        if key not in self._made:
            context = ssl.SSLContext(kind)
            try:
                _versions(context, options)
                if pair is not None:
                    pair.load(context, self._directory)
                if ca:
                    context.load_verify_locations(cadata=ca.decode("ascii"))
            except (ValueError, OSError, TypeError) as problem:
                raise Misconfigured(f"{profile.get('fullPath')}: {problem}") from problem
            self._made[key] = context
        return self._made[key]


def _versions(context: ssl.SSLContext, options: frozenset[str]) -> None:
    off = {name for name in ("no-tlsv1.2", "no-tlsv1.3") if name in options}
    if len(off) > 1 or "no-tls" in options:
        raise Misconfigured("neither TLS 1.2 nor TLS 1.3 is left")
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if "no-tlsv1.2" in off else ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2 if "no-tlsv1.3" in off else ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain and its key, in PEM; ``passphrase`` opens the key."""

    certificates: bytes
    key: bytes
    passphrase: bytes | None

    @classmethod
    def of(cls, config: Config, profile: Body) -> Pair | None:
        """What a profile presents: the first ``certKeyChain``, else its top level; ``None`` for nothing. Raises Misconfigured."""
        source = next(iter(bodies(profile, "certKeyChain")), profile)
        cert, key, chain = (text(source, name) for name in ("cert", "key", "chain"))
        if not cert or not key:
            return None
        files = [file_of(config, path) for path in (cert, chain) if path]
        passphrase = text(source, "passphrase")
        return cls(b"\n".join(files), file_of(config, key), passphrase.encode() or None)

    @property
    def digest(self) -> str:
        """Names these bytes."""
        return sha256(b"\0".join((self.certificates, self.key, self.passphrase or b""))).hexdigest()

    def load(self, context: ssl.SSLContext, directory: Path) -> None:
        """Give it to a context. Raises ValueError, TypeError, ssl.SSLError when the two do not fit or cannot be read."""
        password = secrets.token_bytes(24).hex().encode()
        key = serialization.load_pem_private_key(self.key, self.passphrase)
        pem = self.certificates + b"\n"
        pem += key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".tls-") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name, password=password)


def file_of(config: Config, path: str) -> bytes:
    """What a file object holds. Raises Misconfigured."""
    try:
        return config.files[path]
    except KeyError as problem:
        raise Misconfigured(f"there is no file {path}") from problem


@dataclass(frozen=True, slots=True, eq=False)
class ClientSsl:
    """TLS towards clients: one certificate for each name, and one for everybody else.

    ``front`` begins every handshake and holds the sessions; ``None``: a fresh one each time, so that none is resumed.
    """

    front: ssl.SSLContext | None
    names: dict[str, ssl.SSLContext]
    default: ssl.SSLContext
    handshake_s: float

    def context(self) -> ssl.SSLContext:
        """For one new connection."""
        if self.front is not None:
            # Set anew each time: the front outlives a change of certificates, as a device's session cache does.
            self.front.sni_callback = self._choose
            return self.front
        # Without tickets Python's contexts still remember sessions by their id; one that nobody meets again cannot.
        front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        front.minimum_version, front.maximum_version = self.default.minimum_version, self.default.maximum_version
        front.verify_mode = self.default.verify_mode
        front.options |= ssl.OP_NO_TICKET
        front.num_tickets = 0
        front.sslobject_class = Tunnel
        front.sni_callback = self._choose
        return front

    def _choose(self, tunnel: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        chosen = self.names.get((name or "").lower())
        if chosen is None and name:
            chosen = self.names.get("*." + name.lower().partition(".")[2])
        tunnel.context = chosen or self.default
        if isinstance(tunnel, Tunnel):
            tunnel.asked = name or ""


def read_client_ssl(config: Config, contexts: Contexts, virtual: str, profiles: list[Body]) -> ClientSsl:
    """The client-ssl profiles of one virtual server. Raises Misconfigured."""
    names: dict[str, ssl.SSLContext] = {}
    default: tuple[Body, ssl.SSLContext] | None = None
    for profile in profiles:
        pair = Pair.of(config, profile)
        if pair is None:
            raise Misconfigured(f"{profile.get('fullPath')} has no certificate")
        mode, ca = text(profile, "peerCertMode"), text(profile, "caFile")
        context = contexts.make(
            ssl.PROTOCOL_TLS_SERVER,
            pair,
            profile,
            file_of(config, ca) if ca and mode not in _NO_CLIENT else b"",
            mode,
        )
        if mode not in _NO_CLIENT:
            context.verify_mode = ssl.CERT_REQUIRED if mode == "require" else ssl.CERT_OPTIONAL
        if text(profile, "serverName"):
            names[text(profile, "serverName").lower()] = context
        if default is None or flag(profile, "sniDefault"):
            default = (profile, context)
    if default is None:
        raise Misconfigured(f"{virtual} has no client-ssl profile")
    body, context = default
    front = None
    # OpenSSL's own cache forgets the session of every client that hangs up without a farewell, as most do: tickets stand in
    # for a device's cache.
    if number(body, "cacheSize", 1) or flag(body, "sessionTicket"):
        front = contexts.make(ssl.PROTOCOL_TLS_SERVER, None, body, salt=f"front of {virtual}")
        front.verify_mode = context.verify_mode
        front.sslobject_class = Tunnel
    return ClientSsl(front, names, context, seconds(body, "handshakeTimeout", 10))


@dataclass(frozen=True, slots=True)
class ServerSsl:
    """TLS towards servers. ``sni`` is asked for, ``name`` must be in the certificate; either may be empty."""

    context: ssl.SSLContext
    sni: str
    name: str
    handshake_s: float

    def verify(self, tunnel: ssl.SSLObject) -> None:
        """Raises NotVerified when the certificate is not for the wanted name (the chain was verified before)."""
        if self.name and not names_match(dict(tunnel.getpeercert() or {}), self.name):
            raise NotVerified(f"the server's certificate is not for {self.name}")


def read_server_ssl(config: Config, contexts: Contexts, profile: Body) -> ServerSsl:
    """A server-ssl profile. Raises Misconfigured."""
    required = text(profile, "peerCertMode") == "require" and text(profile, "untrustedCertResponseControl") != "ignore"
    ca = text(profile, "caFile")
    if required and not ca:
        raise Misconfigured(f"{profile.get('fullPath')} requires a certificate and trusts nobody")
    context = contexts.make(
        ssl.PROTOCOL_TLS_CLIENT,
        Pair.of(config, profile),
        profile,
        file_of(config, ca) if required else b"",
        "verify" if required else "ignore",
    )
    context.check_hostname = False  # the name verified and the name asked for are two properties
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_NONE
    name = text(profile, "authenticateName") if required else ""
    return ServerSsl(context, text(profile, "serverName"), name, seconds(profile, "handshakeTimeout", 10))


def names_match(certificate: dict[str, object], wanted: str) -> bool:
    """Whether a certificate (as ``getpeercert`` has it) is for a name: an alternative name, or the subject's common name."""
    alternatives, subject = certificate.get("subjectAltName"), certificate.get("subject")
    names: list[str] = []
    for kind, value in alternatives if isinstance(alternatives, tuple) else ():
        if kind == "IP Address" and _same_address(str(value), wanted):
            return True
        if kind == "DNS":
            names.append(str(value))
    for part in subject if isinstance(subject, tuple) else ():
        names += [str(value) for kind, value in part if kind == "commonName"]
    wanted = wanted.lower()
    return any(name == wanted or (name[:2] == "*." and name[2:] == wanted.partition(".")[2])
               for name in map(str.lower, names))  # fmt: skip


def _same_address(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False
