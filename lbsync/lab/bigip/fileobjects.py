"""Keys and certificates: file objects made from uploads, and the view of them under ``sys/crypto``.

Rule of this room: content goes in and never out; what REST shows is what ``certificates`` tells.
"""

from __future__ import annotations

from lbsync.lab.bigip import edit, errors
from lbsync.lab.bigip.certificates import (
    Unreadable,
    certificate_properties,
    certificates,
    file_properties,
    key_properties,
    stamp,
)
from lbsync.lab.bigip.downloads import Downloads
from lbsync.lab.bigip.kinds import KINDS
from lbsync.lab.bigip.names import HOST, Json, absolute, tilde
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.store import Configuration, Draft

KEY, CERT = "sys/file/ssl-key", "sys/file/ssl-cert"
_MODES = {KEY: 0o100640, CERT: 0o100644}


def create(draft: Draft, downloads: Downloads, collection: str, given: Json) -> Body:
    """Make a file object of an uploaded file. Raises Refusal."""
    source = str(given.get("sourcePath") or "")
    if not source:
        raise errors.nothing_given("sourcePath")
    body = edit.create(draft, KINDS[collection], given)
    content = _read(downloads, source)
    made = {"createTime": stamp(), "createdBy": draft.user, "revision": 1}
    return fill(draft, collection, {**body, **made, "sourcePath": source}, content)


def import_file(draft: Draft, collection: str, name: str, content: bytes) -> Body:
    """What the configuration utility does: a file object that names no source. Raises Refusal."""
    body = edit.create(draft, KINDS[collection], {"name": name})
    made = {"createTime": stamp(), "createdBy": draft.user, "revision": 1}
    return fill(draft, collection, {**body, **made}, content)


def change(draft: Draft, downloads: Downloads, collection: str, path: str, given: Json, *, whole: bool) -> Body:
    """Change a file object, perhaps by a new file (``sourcePath``). Raises Refusal."""
    old = edit.find(draft, KINDS[collection], path)
    change_of = edit.replace if whole else edit.modify
    body = {**old, **change_of(draft, KINDS[collection], path, given)}
    source = given.get("sourcePath")
    content = draft.read(collection, path) if source is None else _read(downloads, str(source))
    return fill(draft, collection, {**body, "revision": int(old.get("revision", 0)) + 1}, content)


def _read(downloads: Downloads, source: str) -> bytes:
    content = downloads.open(source)
    if content is None:
        raise errors.Refusal(400, f"01070712:3: file ({source}) expected to exist.")  # Assumption ``wording``.
    return content


def fill(draft: Draft, collection: str, body: Body, content: bytes) -> Body:
    """Store content and what it tells. Raises Refusal."""
    path = str(body["fullPath"])
    try:
        told = (
            key_properties(content, str(body.get("passphrase") or ""))
            if collection == KEY
            else certificate_properties(content)
        )
    except Unreadable as problem:
        what = "key" if collection == KEY else "certificate"
        # Assumption ``wording``.
        raise errors.Refusal(400, f"01070712:3: {what} ({path}) is not a PEM {what} that can be read.") from problem
    draft.write(collection, path, content)
    when = {"lastUpdateTime": stamp(), "updatedBy": draft.user}
    return draft.put(collection, path, {**body, **file_properties(content, _MODES[collection]), **when, **told})


# --- sys/crypto ----------------------------------------------------------------------------------------------------------


def install(draft: Draft, downloads: Downloads, what: str, given: Json) -> None:
    """``install sys crypto key|cert NAME from-local-file PATH``: make or overwrite. Raises Refusal."""
    name, source = str(given.get("name") or ""), str(given.get("from-local-file") or "")
    if given.get("command") != "install" or not name or not source:
        raise errors.nothing_given("command install, name, from-local-file")
    ending = f".{'key' if what == 'key' else 'crt'}"
    path = absolute(name if name.endswith(ending) else name + ending)  # Assumption ``install-name``.
    collection = KEY if what == "key" else CERT
    if path in draft.of(collection):
        change(draft, downloads, collection, path, {"sourcePath": source}, whole=False)
    else:
        create(draft, downloads, collection, {"name": path, "sourcePath": source})


def crypto(configuration: Configuration, what: str, version: str, path: str) -> Json:
    """One object of ``sys/crypto/key`` or ``cert``, in the shape of get_sys_crypto….json. Raises Refusal."""
    collection = KEY if what == "key" else CERT
    body = configuration.of(collection).get(path)
    if body is None:
        raise errors.not_found(KINDS[collection].title, path)
    at = f"{HOST}/sys/crypto/{what}/{tilde(path)}"
    shown: Json = {
        "kind": f"tm:sys:crypto:{what}:{what}state",
        "name": path,
        "fullPath": path,
        "generation": body["generation"],
        "selfLink": f"{at}?ver={version}",
    }
    if what == "key":
        return shown | {
            "keySize": str(body["keySize"]),
            "keyType": body["keyType"],
            "securityType": body["securityType"],
        }
    raw = {
        "certificateKeySize": str(body["certificateKeySize"]),
        "expiration": body["expirationString"],
        "issuer": body["issuer"],
        "publicKeyType": str(body["keyType"]).removesuffix("-public").upper(),
    }
    subject = certificates(configuration.files[collection, path])[0].subject
    words = {"CN": "commonName", "C": "country", "L": "city", "O": "organization", "OU": "ou", "ST": "state"}
    told = {words[one.rfc4514_attribute_name]: str(one.value) for one in subject if one.rfc4514_attribute_name in words}
    validators = {"link": f"{at}/cert-validators?ver={version}", "isSubcollection": True}
    return shown | {
        "apiRawValues": raw,
        **told,
        "fingerprint": body["fingerprint"],
        "certValidatorsReference": validators,
    }
