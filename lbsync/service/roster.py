"""Farms that come and go while the service runs: a file put into the folder of configurations, or taken out of it.

Rule of this file: nothing that is under way is touched, and nothing is forgotten. Who takes a file out for a moment, as editors
do, or a folder away, as a mount that fails does, has not said that a farm is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lbsync.errors import ConfigError
from lbsync.service.clock import Clock
from lbsync.service.farm import Farm
from lbsync.service.going_on import half_way
from lbsync.service.namespaces import Found, Namespace
from lbsync.service.values import Level

_LOG = logging.getLogger("lbsync.service")


class Roster:
    """Keeps ``farms`` as ``find`` says; ``make`` is given a new namespace, its number among those that came and their count."""

    def __init__(
        self,
        farms: dict[str, Farm],
        find: Callable[[], Found],
        make: Callable[[Namespace, int, int], Farm],
        clock: Clock,
    ) -> None:
        self._farms, self._find, self._make, self._clock = farms, find, make, clock
        self._told = frozenset[str]()

    async def look(self) -> None:
        """See once who is there. A folder that cannot be read, or has nothing in it, changes nothing and is told once."""
        try:
            found = await asyncio.to_thread(self._find)
        except ConfigError as error:
            self._tell(f"{error.where}: {error.message}; the farms of before are kept")
            return
        self._tell(
            *(
                f"{error.where}: {error.message}; it is passed over, but no service starts with it"
                for error in found.refused
            )
        )
        there = {one.name: one for one in found.namespaces}
        new = [one for name, one in there.items() if name not in self._farms]
        for index, one in enumerate(new):
            self._farms[one.name] = farm = self._make(one, index, len(new))
            _LOG.info("%s: a configuration has come: %s", one.name, one.config)
            farm.tell()
        for name, farm in self._farms.items():
            if name not in there:
                self._missed(farm)
            elif farm.missed:
                farm.back(self._clock.now_s())

    @staticmethod
    def _missed(farm: Farm) -> None:
        if not farm.gone:
            farm.missed += 1
        if farm.gone:  # looked at each time: what is under way now may be left half-way later
            farm.show(gone=True, level=Level.UNKNOWN, next_look_at=None, next_text="", next_at=None)
            run = half_way(farm.state.runs)
            # Not in the moment in which a job ends: how it ended is told first, by notices and metrics. Nor while a run stands
            # half-way: nobody else would remember it.
            farm.hidden = farm.state.job is None and run is None
            nobodys = run is not None and farm.state.job is None and farm.nobodys == run.run_id
            left = f" Run {farm.nobodys} stands half-way, and is not carried on from here." if nobodys else ""
            farm.fails(
                look=f"its configuration was removed: what is under way ends by itself, and nothing else is begun.{left}"
            )

    def _tell(self, *told: str) -> None:
        for line in told:
            if line not in self._told:
                _LOG.warning("%s", line)
        self._told = frozenset(told)
