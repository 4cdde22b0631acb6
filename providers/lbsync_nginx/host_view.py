"""What of NGINX's surroundings decides whether lbsync may work here: its program, its configuration, who listens.

Rule of this room: reads only, and reports; it changes nothing of the administrator's and quotes none of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lbsync.kit.endpoints import Endpoint
from lbsync.kit.host import Host
from lbsync_nginx.dump import Directive, Include, tree_of
from lbsync_nginx.errorlog import log_path
from lbsync_nginx.layout import HTTP, STREAM, Layout
from lbsync_nginx.listens import Listen, listens_of
from lbsync_nginx.process import Workers, is_upgrading, master_of, replaced_since, workers_of
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.tables import read_listening
from lbsync_nginx.tested import Program, Tested, read_program, read_test
from lbsync_nginx.unloaded import not_loaded


@dataclass(frozen=True, slots=True)
class HostView:
    """One look.

    ``ours`` and ``theirs`` are lbsync's and the administrator's listeners as the files on disk have them;
    ``unclear`` is why those could not be understood.
    """

    program: Program | None
    tested: Tested | None
    master: int | None
    workers: Workers | None = None
    program_replaced: bool = False
    theirs: tuple[Listen, ...] = ()
    ours: tuple[Listen, ...] = ()
    includes: tuple[Include, ...] = ()
    tree: tuple[Directive, ...] = ()
    unclear: str = ""
    not_loaded: tuple[str, ...] = ()
    """Files of the administrator's that were changed after NGINX loaded them: a reload of ours would make them live."""
    upgrading: bool = False
    """The program is being replaced: two masters serve side by side."""
    listening: tuple[Endpoint, ...] = field(default=())

    @property
    def error_log(self) -> str | None:
        """Where the master logs; ``None`` where that is no file."""
        return log_path(self.tree, self.program.default_error_log if self.program else None)


def read_host(host: Host, settings: NginxSettings, home: Layout) -> HostView:
    """Look around. Raises TargetError where the host cannot be asked; what NGINX itself refuses is a value."""
    master = master_of(host, settings)
    listening = read_listening(host)
    if host.stat(settings.nginx) is None:
        return HostView(None, None, master, listening=listening)
    program, tested = read_program(host, settings), read_test(host, settings)
    ours = frozenset({home.file(STREAM), home.file(HTTP)})
    tree: tuple[Directive, ...] = ()
    includes: tuple[Include, ...] = ()
    unclear = ""
    try:
        tree, includes = tree_of(tested.dump)
    except ValueError as error:
        unclear = str(error)
    listens = listens_of(tree)
    workers = workers_of(host, master) if master is not None else None
    return HostView(
        program=program,
        tested=tested,
        master=master,
        workers=workers,
        program_replaced=master is not None and replaced_since(host, master),
        theirs=tuple(one for one in listens if one.where.rpartition(" line ")[0] not in ours),
        ours=tuple(one for one in listens if one.where.rpartition(" line ")[0] in ours),
        includes=includes,
        tree=tree,
        unclear=unclear,
        not_loaded=not_loaded(host, home, tested.dump, includes, workers),
        upgrading=is_upgrading(host, settings),
        listening=listening,
    )
