"""Modes given on the command line, for one plan: words to values, and what the configuration says instead.

Rule of this room: pure; whether a mode is safe is the adviser's question, here as for those of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbsync.config.problems import did_you_mean
from lbsync.errors import ConfigError
from lbsync.model import Mode
from lbsync.services import SERVICES, Service

ALL = "all"
"""Every service that may be offloaded; MRSProxy is not among them, as it is not by ``modes.default``."""


def chosen_modes(words: Iterable[str]) -> dict[Service, Mode]:
    """``SERVICE=MODE`` words as modes; a service named comes before ``all``, whatever their order.

    Raises ConfigError for a service or mode that there is not, and for one given twice.
    """
    said: dict[str, Mode] = {}
    for word in words:
        name, equals, mode = word.partition("=")
        names = [ALL, *Service]
        if not equals or name not in names:
            what = f"there is no service {name!r}" if equals else "this is not SERVICE=MODE"
            raise _refused(word, what, did_you_mean(name, names))
        if mode not in list(Mode):
            raise _refused(word, f"there is no mode {mode!r}", f"give one of: {', '.join(Mode)}")
        if name in said:
            raise _refused(word, f"{name} is given twice", "give each service once")
        said[name] = Mode(mode)
    common = said.pop(ALL, None)
    found = {service: common for service, spec in SERVICES.items() if spec.offloadable} if common is not None else {}
    return found | {Service(name): mode for name, mode in said.items()}


def _refused(word: str, message: str, remedy: str) -> ConfigError:
    return ConfigError(message, where=f"--mode {word}", state="nothing was read and nothing was changed", remedy=remedy)


def differing(configured: Mapping[Service, Mode], chosen: Mapping[Service, Mode]) -> dict[Service, Mode]:
    """Those of the modes chosen that are not the configured ones."""
    return {service: mode for service, mode in chosen.items() if configured[service] is not mode}


def listed(modes: Mapping[Service, Mode]) -> str:
    """Modes as the configuration would have them."""
    return ", ".join(f'{service.value} = "{mode.value}"' for service, mode in modes.items())
