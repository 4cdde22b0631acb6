"""From pydantic's complaints to what an administrator can act on: which line, which key, what is wrong, what to write.

Rule of this room: a value is quoted only where it came from a closed list (a mode, a provider); anything else could be a
secret in the wrong place.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from lbsync.config.locate import Path, line_of
from lbsync.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PLAIN: Final = {
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "tuple_type": "must be a list, in [ ]",
    "list_type": "must be a list, in [ ]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be a plain name: letters, digits, dots and hyphens",
}


class BrokenConfig(ConfigError):
    """A configuration with one or more faults; ``problems`` has each of them with its own line, in the file's order."""

    def __init__(self, problems: Iterable[ConfigError], *, file: str) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        count = len(self.problems)
        super().__init__(
            first.message if count == 1 else f"the configuration has {count} faults; the first: {first.message}",
            where=first.where,
            state="nothing was read from any server or balancer, nothing was changed",
            remedy=first.remedy,
        )
        self.file = file


def problem(message: str, path: Path, *, file: str, found: Mapping[Path, int], remedy: str = "") -> ConfigError:
    """One fault at ``path``; ``found`` says on which line that is."""
    where = f"{file}:{line_of(found, path)}"
    key = ".".join(str(part) for part in path if isinstance(part, str))
    return ConfigError(message, where=f"{where}: {key}" if key else where, remedy=remedy)


def from_validation(
    error: ValidationError, model: type[BaseModel], *, file: str, found: Mapping[Path, int], prefix: Path = ()
) -> list[ConfigError]:
    """Each fault pydantic met in a table that stands at ``prefix`` and should have been a ``model``."""
    told: dict[Path, ConfigError] = {}
    everything = error.errors(include_url=False)
    for details in everything:
        inner: Path = details["loc"]
        if details["type"] == "too_short" and any(_below(other["loc"], inner) for other in everything):
            continue  # pydantic does not count the items it refused; they have been told already
        message, remedy = _words(details, model, inner)
        path = (*prefix, *inner)
        told.setdefault(path, problem(message, path, file=file, found=found, remedy=remedy))
    return [told[path] for path in sorted(told, key=lambda path: line_of(found, path))]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A guess at what was meant, else the whole list; a sentence."""
    choices = list(known)
    near = difflib.get_close_matches(word.lower(), choices, n=1)
    return f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(choices)}"


def _below(path: Path, table: Path) -> bool:
    return len(path) > len(table) and path[: len(table)] == table


def _words(details: ErrorDetails, model: type[BaseModel], path: Path) -> tuple[str, str]:
    """Message and remedy of one complaint."""
    kind, context = details["type"], details.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return "unknown key", did_you_mean(str(path[-1]), _keys(model, path[:-1]))
        case "missing":
            return "this key is missing", _hint(model, path)
        case "enum" | "literal_error":
            return _choice(str(context["expected"]), details["input"])
        case _:
            message = details["msg"].removeprefix("Value error, ")
            plain = re.sub(r"^(Input|String|Tuple|List|Value) should", "must", message)
            return _PLAIN.get(kind, plain), str(context.get("remedy", ""))


def _choice(expected: str, given: object) -> tuple[str, str]:
    """Message and remedy for a closed list, which pydantic prints as ``'a', 'b' or 'c'``."""
    choices = re.findall(r"'([^']*)'", expected) or [expected]
    guess = did_you_mean(given, choices) if isinstance(given, str) else ""
    return f"must be one of: {', '.join(choices)}", guess if guess.startswith("did") else ""


def _keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys of the table at ``path``; empty where it is no table of ours."""
    table = _table(model, path)
    return list(table.model_fields) if table else []


def _hint(model: type[BaseModel], path: Path) -> str:
    table = _table(model, path[:-1])
    described = table.model_fields[str(path[-1])].description if table else None
    return f'add "{path[-1]}": {described}' if described else f'add "{path[-1]}"'


def _table(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of the table at ``path``, following optional values and lists."""
    here: object = model
    for part in path:
        if isinstance(part, int):
            here = next(iter(typing.get_args(here)), None)
        elif (table := _model_in(here)) and part in table.model_fields:
            here = table.model_fields[part].annotation
        else:
            return None
    return _model_in(here)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model an annotation means: itself, or the one among its alternatives."""
    for choice in (annotation, *typing.get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None
