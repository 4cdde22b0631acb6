"""Other modes in the text of a configuration file, and everything else in it as it was.

Rule of this room: bytes in, bytes out; opening and writing the file is the caller's business. What comes out is read again
and compared before it is given to anybody: a file that cannot be rewritten so is refused, with what to write by hand.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from lbsync.config.load import load
from lbsync.config.locate import lines
from lbsync.config.sections import Config
from lbsync.config.wish import modes
from lbsync.errors import ConfigError
from lbsync.model import Mode
from lbsync.services import SERVICES, Service

_BOM = "\ufeff"
_CRLF = "\r\n"


def with_modes(data: bytes, wanted: Mapping[Service, Mode], *, file: str = "lbsync.toml") -> bytes:
    """A valid configuration file with these modes for these services; ``[modes]`` is added where there is none.

    Comments, order, line ends and a byte order mark stay. Where every service without a key of its own is to have one and
    the same mode, ``default`` says it. Raises ConfigError where the file does not come out as meant.
    """
    text = data.decode("utf-8")
    bare = text.removeprefix(_BOM)
    mark = text[: len(text) - len(bare)]
    windows = _CRLF in bare and bare.count(_CRLF) == bare.count("\n")
    plain = bare.replace(_CRLF, "\n") if windows else bare
    new = proven(plain, _edited(plain, wanted), wanted, file=file)
    return (mark + (new.replace("\n", _CRLF) if windows else new)).encode()


def _edited(text: str, wanted: Mapping[Service, Mode]) -> str:
    """Keys that are there change where they stand; others follow the last of the table."""
    import tomlkit

    document = tomlkit.parse(text)
    table = document.setdefault("modes", tomlkit.table())
    found = lines(text)
    head = found.get(("modes",), 0)
    rows = text.split("\n")
    headed = head > 0 and rows[head - 1].lstrip().startswith("[")
    later: list[str] = []
    for key, mode in _keys(load(text).config, wanted).items():
        if headed and key not in table:
            later.append(f'{key} = "{mode.value}"')
        else:
            table[key] = mode.value
    rows = tomlkit.dumps(document).split("\n")
    # tomlkit would put them in front of the next table, behind the comment that belongs to that one.
    last = max((line for path, line in found.items() if path[:1] == ("modes",)), default=0)
    return "\n".join([*rows[:last], *later, *rows[last:]])


def _keys(config: Config, wanted: Mapping[Service, Mode]) -> dict[str, Mode]:
    """The keys of ``[modes]`` to set: each service's own, or ``default`` for all that have none."""
    section = config.modes
    unsaid = {s for s, spec in SERVICES.items() if spec.offloadable and getattr(section, s.value) is None}
    by_default = {wanted.get(service) for service in unsaid}
    common = by_default.pop() if len(by_default) == 1 else None
    own = {service.value: mode for service, mode in wanted.items() if common is None or service not in unsaid}
    return {"default": common, **own} if common is not None else own


def proven(before: str, after: str, wanted: Mapping[Service, Mode], *, file: str) -> str:
    """``after``, where it says what ``before`` says with these modes, and no line differs but those of the modes.

    Raises ConfigError where it does not: a way of writing TOML that was met for the first time.
    """
    old, new = load(before).config, load(after).config
    meant = modes(old.modes) | dict(wanted)
    same = new.model_copy(update={"modes": old.modes}) == old
    if not same or modes(new.modes) != meant or not all(_of_modes(line) for line in changed_lines(before, after)):
        by_hand = "; ".join(f'{service.value} = "{mode.value}"' for service, mode in wanted.items())
        raise ConfigError(
            "the modes cannot be written into this file without touching the rest of it",
            where=file,
            state="nothing was changed",
            remedy=f"write them into its table [modes] yourself: {by_hand}",
        )
    return after


def changed_lines(before: str, after: str) -> tuple[str, ...]:
    """The lines that differ, each with ``-`` or ``+`` in front, in the file's order."""
    compared = difflib.ndiff(before.splitlines(), after.splitlines())
    return tuple(line[0] + line[2:] for line in compared if line[0] in "+-")


def _of_modes(line: str) -> bool:
    """Whether a line that differs is one of the modes, or the blank one before a table that was added."""
    names = "|".join(("modes", "default", *(service.value for service in Service)))
    return not line[1:].strip() or re.match(rf"[+-]\s*[\[\"']?({names})\b", line) is not None
