"""One session to one device: f5-sdk with our transport, in the words that effects and reading need.

Rule of this room: one thread, one connection; an open transaction or an upload never outlives the block that made it.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from lbsync.errors import Rejected, TargetError, Unreachable
from lbsync_f5 import things
from lbsync_f5.names import draft_of, encoded
from lbsync_f5.session.failures import told
from lbsync_f5.session.login import Address, Login
from lbsync_f5.session.quiet import silence
from lbsync_f5.wire import COORDINATION, SDK_NAMES, address_of, items

_DOWNLOADS = "/var/config/rest/downloads"
_CHUNK = 512 * 1024
_ATTEMPTS = 3
Body = Mapping[str, Any]


class Session:
    """Logged in from the start; ``close`` gives the token back. ``bare`` is the SDK's REST session (see ``wire.BARE``)."""

    def __init__(self, address: Address) -> None:
        """Raises TargetError."""
        silence()
        self.where = address.url
        self._login = Login(address).open()
        try:
            with told(self.where, reading=True):
                self._root = _management_root(address, self._login)
        except BaseException:
            self._login.close()
            raise
        self._bare = self._root.icrs
        self._url = f"{address.url}/mgmt"

    @property
    def version(self) -> str:
        """TMOS, as in 14.1.2.1."""
        return str(self._root.tmos_version or "")

    def close(self) -> None:
        """Log out and hang up; twice is once."""
        self._login.close()
        self._bare.session.close()

    # --- reading -----------------------------------------------------------------------------------------------------

    def collection(
        self, collection: str, *, partition: str | None = None, expand: bool = False
    ) -> list[dict[str, Any]]:
        """All objects of a collection; those of one partition; their sub-collections inline. Raises TargetError."""
        # As text: requests would write the dollar as a number, as no example of F5's does.
        chosen = ["expandSubcollections=true"] if expand else []
        if partition is not None:
            chosen.append(f"$filter=partition+eq+{partition}")
        params = "&".join(chosen)
        with told(f"{self.where} {collection}", reading=True):
            found = self._sdk(collection).get_collection(requests_params={"params": params})
            return [{name: value for name, value in one.raw.items() if name != "_meta_data"} for one in found]

    def get(self, collection: str, path: str, *, expand: bool = False) -> dict[str, Any] | None:
        """One object, with its sub-collections inline where asked; ``None`` where it is not there. Raises TargetError."""
        return self._read(f"tm/{collection}/{encoded(path)}{'?expandSubcollections=true' if expand else ''}")

    def bare_items(self, collection: str) -> list[dict[str, Any]]:
        """All objects of a collection for which the SDK wants to know more than it is told. Raises TargetError."""
        return items(self._read(f"tm/{collection}") or {})

    def singleton(self, path: str) -> dict[str, Any] | None:
        """An answer that is no object of a collection (``cm/sync-status``); ``None`` where it is not there."""
        return self._read(f"tm/{path}")

    def members_stats(self, pool: str) -> dict[str, Any]:
        """Statistics of a pool's members. Raises TargetError."""
        return self._read(f"tm/{things.POOL}/{encoded(pool)}/members/stats") or {}

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            with told(f"{self.where} {path}", reading=True):
                answer: Any = self._bare.get(f"{self._url}/{path}").json()
                if not isinstance(answer, dict):
                    raise ValueError  # noqa: TRY004 -- as for what is no JSON at all
        except Rejected as error:
            if error.code == "not_found":
                return None
            raise
        return dict(answer)

    # --- changing ----------------------------------------------------------------------------------------------------

    def create(self, collection: str, path: str, body: Body) -> None:
        """Make an object. Raises TargetError (``exists`` where one of that name is there)."""
        with told(f"{self.where} {path}"):
            resource = getattr(self._sdk(collection), SDK_NAMES[collection][-1])
            resource.create(**address_of(path), **body)

    def modify(self, collection: str, path: str, body: Body) -> None:
        """Set some properties of an object, lists as a whole. Raises TargetError."""
        with told(f"{self.where} {path}"):
            self._bare.patch(f"{self._url}/tm/{collection}/{encoded(path)}/", json=dict(body))

    def modify_member(self, pool: str, member: str, body: Body) -> None:
        """Set properties of one server in one pool. Raises TargetError."""
        with told(f"{self.where} {pool} {member}"):
            self._bare.patch(
                f"{self._url}/tm/{things.POOL}/{encoded(pool)}/members/{encoded(member)}/", json=dict(body)
            )

    def delete(self, collection: str, path: str) -> None:
        """Remove an object; one that is not there is no error. Raises TargetError."""
        with suppress_missing(), told(f"{self.where} {path}"):
            self._bare.delete(f"{self._url}/tm/{collection}/{encoded(path)}")

    def publish_policy(self, path: str, body: Body) -> None:
        """Make a policy, by a draft that is published. A draft left behind by a killed run gives way. Raises TargetError."""
        tried: list[bool] = []

        def publish() -> None:
            # A draft beside a published policy is refused: where only the answer was lost, all is done.
            if not tried or self.get(things.POLICY, path) is None:
                tried.append(True)
                self._publish(path, draft_of(path), body)

        again(publish)

    def _publish(self, path: str, draft: str, body: Body) -> None:
        self.delete(things.POLICY, draft)
        self.create(things.POLICY, draft, body)
        with told(f"{self.where} {path}"):
            self._bare.post(f"{self._url}/tm/{things.POLICY}/", json={"command": "publish", "name": draft})

    def cut(self, address: str, port: int) -> None:
        """End every connection to a server's port. Raises TargetError."""
        chosen = f"ss-server-addr+{address}+ss-server-port+{port}"
        with suppress_missing(), told(f"{self.where} connections to {address}:{port}"):
            self._bare.delete(f"{self._url}/tm/sys/connection?options={chosen}")

    def save(self) -> None:
        """Make the running configuration the one of the next start. Raises TargetError."""
        with told(f"{self.where} save"):
            self._root.tm.sys.config.exec_cmd("save")

    def synchronise(self, group: str) -> None:
        """Start a config-sync from this device to its group. Raises TargetError."""
        with told(f"{self.where} config-sync"):
            name = group.removeprefix("/Common/")
            self._root.tm.cm.exec_cmd("run", utilCmdArgs=f"config-sync to-group {name}")

    # --- blocks ------------------------------------------------------------------------------------------------------

    def atomically(self, change: Callable[[], None]) -> None:
        """What ``change`` changes happens at once, or not at all. Read and upload before. Raises TargetError.

        Until the commit nothing has happened: a connection that breaks before is no reason to give up.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            number = self._queued(change, last=attempt == _ATTEMPTS)
            if number is not None:
                self._commit(number)
                return

    def _queued(self, change: Callable[[], None], *, last: bool) -> str | None:
        with told(f"{self.where} transaction"):
            opened = self._root.tm.transactions.transaction.create()
        number = str(opened.transId)
        self._bare.session.headers[COORDINATION] = number
        try:
            change()
        except Unreachable:
            self._forget(number)
            if last:
                raise
            return None
        except BaseException:
            self._forget(number)
            raise
        del self._bare.session.headers[COORDINATION]
        return number

    def _commit(self, number: str) -> None:
        try:
            with told(f"{self.where} transaction"):
                body = {"state": "VALIDATING", "validateOnly": False}
                self._bare.patch(f"{self._url}/tm/transaction/{number}/", json=body)
        except BaseException:
            self._forget(number)
            raise

    def _forget(self, number: str) -> None:
        self._bare.session.headers.pop(COORDINATION, None)
        with suppress(TargetError), told(self.where):
            self._bare.delete(f"{self._url}/tm/transaction/{number}")

    @contextmanager
    def uploads(self, files: Mapping[str, bytes]) -> Generator[dict[str, str]]:
        """Files on the device by name, as ``sourcePath`` wants them; gone again when the block ends, however it ends.

        Raises TargetError.
        """
        sent: list[str] = []
        try:
            for name, data in files.items():
                sent.append(name)
                self._upload(name, data)
            yield {name: f"file:{_DOWNLOADS}/{name}" for name in files}
        except BaseException:
            # What went wrong first is told; names are the same each time, so the next try or the way back removes them.
            with suppress(TargetError):
                self.remove_uploads(sent)
            raise
        self.remove_uploads(sent)

    def _upload(self, name: str, data: bytes) -> None:
        with told(f"{self.where} upload"):
            stream, start = io.BytesIO(data), 0
            while piece := stream.read(_CHUNK):
                end = start + len(piece)
                headers = {
                    "Content-Range": f"{start}-{end - 1}/{len(data)}",
                    "Content-Type": "application/octet-stream",
                }
                self._bare.post(f"{self._url}/shared/file-transfer/uploads/{name}", data=piece, headers=headers)
                start = end

    def remove_uploads(self, names: Iterable[str]) -> None:
        """Take uploaded files away; those that are not there are no error. Raises TargetError (``upload_left``)."""
        paths = " ".join(f"{_DOWNLOADS}/{name}" for name in names)
        if not paths:
            return
        with told(f"{self.where} remove uploads"):
            body = {"command": "run", "utilCmdArgs": f"-f {paths}"}
            answer: Any = self._bare.post(f"{self._url}/tm/util/unix-rm", json=body).json()
        # rm's complaints come with status 200; with -f it says nothing where all is well.
        words = str(answer.get("commandResult") or "").strip() if isinstance(answer, dict) else ""
        if words:
            raise Rejected(
                f"an uploaded file could not be removed: {words}",
                where=self.where,
                state=f"it lies there, perhaps with a private key in it: {paths}",
                remedy="remove it on the device: `rm` in a shell, or have its disk repaired",
                code="upload_left",
            )

    def _sdk(self, collection: str) -> Any:
        found: Any = self._root.tm
        for name in SDK_NAMES[collection][:-1]:
            found = getattr(found, name)
        return found


def again(act: Callable[[], None]) -> None:
    """Carry out what may be repeated whole, up to three times while the connection breaks. Raises TargetError."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            act()
        except Unreachable:
            if attempt == _ATTEMPTS:
                raise
        else:
            return


@contextmanager
def suppress_missing() -> Generator[None]:
    """What is not there needs not be removed."""
    try:
        yield
    except Rejected as error:
        if error.code != "not_found":
            raise


def _management_root(address: Address, login: Login) -> Any:
    """The SDK, logged in by our token, over our transport."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its sources have escapes that newer Pythons complain about
        _without_setuptools()
        from f5.bigip import ManagementRoot

    class Root(ManagementRoot):  # type: ignore[misc]  # the SDK has no types
        """With verification and time-outs forced on each request, the first one already."""

        def _get_icr_session(self, *args: Any, **kwargs: Any) -> Any:
            session = super()._get_icr_session(*args, **kwargs)
            session.session.trust_env = False
            session.session.mount("https://", login.adapter)
            return session

    host = f"[{address.host}]" if ":" in address.host else address.host
    # The name and password it wants are not used: it has the token.
    return Root(host, "", "", port=address.port, token_to_use=login.token, verify=address.ca)


def _without_setuptools() -> None:
    """Below 3.12 Python's own distutils does: setuptools, which puts itself in its place, costs a third of a second."""
    hook: Any = sys.modules.get("_distutils_hack")
    if hook is not None and sys.version_info < (3, 12) and "distutils" not in sys.modules:
        hook.remove_shim()
