"""One NGINX and its host, opened: what effects and checks share.

Rule of this room: it looks; which files change is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.errors import Unreachable
from lbsync.kit.handshake import NO_CONNECTION
from lbsync.kit.host import Host
from lbsync.kit.stream import NO_ANSWER
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import BalancerSpec
from lbsync_nginx.disk import read_disk, read_texts
from lbsync_nginx.health import addresses_of, ask_health, connections_of
from lbsync_nginx.host_view import read_host
from lbsync_nginx.layout import Layout, main_file
from lbsync_nginx.places import placed_by
from lbsync_nginx.seen import Health, Running, Seen
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import answer_of

_STATUS_S = 5.0
_OTHER_KIND_S = 2.0
"""How long a status listener may be silent before it is asked in the other way."""
_REQUEST = b"GET / HTTP/1.0\r\n\r\n"
_MOST_STATUS = 65536


class Device:
    """A balancer of ``spec`` on ``host``."""

    def __init__(self, spec: BalancerSpec, settings: NginxSettings, host: Host) -> None:
        self.spec = spec
        self.settings = settings
        self.host = host
        self.home = Layout.of(settings)
        self.main = main_file(settings)
        # A status listener of a stream answers at once and would reset a client that sends something; one of http waits for a
        # request. While the setting and what runs differ, the other kind is there.
        self._ways = (b"", _REQUEST) if settings.proxy == "stream" else (_REQUEST, b"")

    def running(self) -> Running | None:
        """What the workers run of ours; ``None`` where our status listener does not answer, since nothing of ours runs.

        Raises TargetError where the host itself cannot be asked.
        """
        silent: Unreachable | None = None
        try:
            found = self._asked_either_way()
        except Unreachable as error:
            if error.code not in {NO_CONNECTION, NO_ANSWER}:
                raise
            found, silent = None, error if error.code == NO_ANSWER else None
        if found is None and (there := self.as_on_disk()) is not self:
            return there.running()
        if silent is not None:
            raise silent
        return found

    def as_on_disk(self) -> Device:
        """The same NGINX where our files have it listen: itself, unless the settings changed since. Raises TargetError."""
        settings = placed_by(read_texts(self.host, self.home), self.settings)
        return self if settings is self.settings else Device(self.spec, settings, self.host)

    def _asked_either_way(self) -> Running | None:
        first, other = self._ways
        try:
            said = self._asked(first, _OTHER_KIND_S)
        except Unreachable as error:
            if error.code != NO_ANSWER:
                raise
            said = ""
        if said:
            return _running(said)
        found = _running(self._asked(other, _STATUS_S))
        if found is not None:
            self._ways = (other, first)
        return found

    def _asked(self, request: bytes, timeout_s: float) -> str:
        """What the status listener says to this."""
        said = bytearray()
        with self.host.connect("127.0.0.1", self.settings.status_port, timeout_s) as stream:
            if request:
                stream.send(request)
            while len(said) < _MOST_STATUS and (part := stream.receive(4096)):
                said += part
        return said.decode(errors="replace")

    def see(self) -> Seen:
        """Everything at once; an NGINX that does not run is a value. Raises TargetError where the host cannot be asked."""
        disk = read_disk(self.host, self.home)  # first: where the host is out of reach this says so
        view = read_host(self.host, self.settings, self.home)
        try:
            running = self.running() if view.master is not None else None
        except Unreachable as error:
            if error.code != NO_ANSWER or disk.state(self.main) is not None:
                raise
            running = None  # nothing of ours is there: it is somebody else who listens and says nothing
        if running is None:
            return Seen(disk, view, None)
        return Seen(disk, view, running, self.health(), self.connections())

    def health(
        self, services: Iterable[Service] | None = None, modes: Iterable[Mode] = tuple(Mode)
    ) -> tuple[Health, ...]:
        """What the members' health pages say now, asked from NGINX's host. Raises TargetError where that cannot be asked."""
        wanted = self.spec.services if services is None else tuple(services)
        return ask_health(self.host, self.spec, self.settings, wanted, tuple(modes))

    def connections(self) -> dict[tuple[str, Mode], int]:
        """Connections open from NGINX's host to each member's two ports, old workers' included. Raises TargetError."""
        return connections_of(self.host, self.spec)

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses a member's name has on NGINX's host. Raises TargetError."""
        return addresses_of(self.host, name)


def _running(said: str) -> Running | None:
    found = answer_of(said)
    return Running(*found) if found is not None else None
