"""Clients as Outlook is: NTLM with channel bindings on connections that they keep, through whatever balancer stands there.

Rule of this file: they ask and count; what must come of it stands in the tests. A 401 that logging on again answers is no
failure, and a connection that ended under a client is counted apart.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self

import requests
from requests.adapters import HTTPAdapter
from requests_ntlm import HttpNtlmAuth

from tests.rollout.rig import Rehearsal

HOST = "mail.contoso.test"
PATHS = ("/mapi/emsmdb/", "/ews/exchange.asmx")
_PAUSE_S = 0.05


class ToAddress(HTTPAdapter):
    """HTTPS to an address, verified for the published name."""

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        """As the base class has it, with the name to verify."""
        super().init_poolmanager(*args, server_hostname=HOST, assert_hostname=HOST, **kwargs)  # type: ignore[arg-type]


def session_of(rehearsal: Rehearsal) -> requests.Session:
    """A client with a mailbox, verified by the farm's CA."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(rehearsal.farm.directory / "ca.pem")
    session.mount("https://", ToAddress())
    session.auth = HttpNtlmAuth(*rehearsal.farm.mailbox)
    return session


def ask(rehearsal: Rehearsal, session: requests.Session, path: str) -> int:
    """One request; the last status, after logging on where it was asked to."""
    running = rehearsal.balancer.running
    url = f"https://{running.address}:{running.https_port}{path}"
    return session.get(url, headers={"Host": HOST}, timeout=30).status_code


class Outlooks:
    """Some clients at work while the ``with`` block runs; ``answers`` by status, ``broken`` connections by kind.

    Every other one comes anew for each request, the others keep their connection as long as it lasts.
    """

    def __init__(self, rehearsal: Rehearsal, clients: int = 4) -> None:
        self._rehearsal = rehearsal
        self._stop = threading.Event()
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(clients)]
        self.answers = Counter[int]()
        self.broken = Counter[str]()
        self.again = 0
        """How often a client was refused and asked once more."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def failures(self) -> dict[int, int]:
        """How often logging on, or the request after it, did not end in 200."""
        return {status: count for status, count in self.answers.items() if status != requests.codes.ok}

    def wait_for_failure(self, timeout_s: float) -> None:
        """Until somebody could not log on, or the time is over."""
        self._failed.wait(timeout_s)

    def _work(self, number: int) -> None:
        keeps, path = number % 2 == 0, PATHS[number // 2 % len(PATHS)]
        while not self._stop.is_set():
            with session_of(self._rehearsal) as session:
                self._ask(session, path)
                while keeps and not self._stop.wait(_PAUSE_S):
                    self._ask(session, path)

    def _ask(self, session: requests.Session, path: str) -> None:
        try:
            status = ask(self._rehearsal, session, path)
            if status == requests.codes.unauthorized:
                # Taken for a drain that moved its connection in the midst of logging on, which takes three requests; not traced.
                with self._lock:
                    self.again += 1
                status = ask(self._rehearsal, session, path)
        except requests.ConnectionError as error:
            with self._lock:
                self.broken[type(error).__name__] += 1
            return
        with self._lock:
            self.answers[status] += 1
        if status != requests.codes.ok:
            self._failed.set()
