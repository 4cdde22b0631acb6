"""From the text of a configuration file to a ``Config``, or to every fault in it at once.

Rule of this room: text in, value out; opening the file is the caller's business. TOML's own types are kept strictly: the
port "443" is a wrong type and not a number in disguise.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lbsync.config.agree import Disagreement, disagreements, of_service
from lbsync.config.locate import Path, line_of, lines
from lbsync.config.problems import BrokenConfig, from_validation, problem
from lbsync.config.sections import Config
from lbsync.config.service import ServiceSection
from lbsync.config.shapes import Section
from lbsync.errors import ConfigError

_Model = TypeVar("_Model", bound=Section)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with what it takes to point back into it. ``base`` is the folder its relative paths start from."""

    config: Config
    file: str
    base: FilePath
    lines: Mapping[Path, int]

    def path(self, written: str) -> FilePath:
        """A path of the configuration, made absolute against the configuration's own folder."""
        return (self.base / written).expanduser()

    def fault(self, message: str, path: Path, *, remedy: str = "") -> ConfigError:
        """A fault found later (a missing file, a provider's setting), pointing at its line."""
        return problem(message, path, file=self.file, found=self.lines, remedy=remedy)

    def faults(self, error: ValidationError, model: type[BaseModel], prefix: Path) -> BrokenConfig:
        """What a provider's own settings model says of the table at ``prefix``."""
        return BrokenConfig(
            from_validation(error, model, file=self.file, found=self.lines, prefix=prefix), file=self.file
        )


class ServiceFile(Section):
    """A file that holds nothing but how the service is run."""

    service: ServiceSection = ServiceSection()
    """The service."""


def load(text: str, *, file: str = "lbsync.toml", base: FilePath | None = None) -> Loaded:
    """The configuration in ``text``; ``file`` is how messages name it. Raises BrokenConfig with every fault."""
    config, found = _read(text, Config, file)
    _refuse(disagreements(config), file, found)
    return Loaded(config=config, file=file, base=base or FilePath(), lines=found)


def load_service(text: str, *, file: str = "serve.toml") -> ServiceSection:
    """The table ``[service]`` of a file that holds nothing else. Raises BrokenConfig with every fault."""
    made, found = _read(text, ServiceFile, file)
    _refuse(of_service(made.service), file, found)
    return made.service


def _refuse(faults: Iterable[Disagreement], file: str, found: Mapping[Path, int]) -> None:
    wrong = sorted(faults, key=lambda fault: line_of(found, fault.path))
    if wrong:
        told = [problem(one.message, one.path, file=file, found=found, remedy=one.remedy) for one in wrong]
        raise BrokenConfig(told, file=file)


def _read(text: str, model: type[_Model], file: str) -> tuple[_Model, Mapping[Path, int]]:
    """The tables, and the line of each key."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BrokenConfig([_syntax(str(error), text, file)], file=file) from None
    found = lines(text)
    try:
        return model.model_validate_json(json.dumps(tables, default=str), strict=True), found
    except ValidationError as error:
        raise BrokenConfig(from_validation(error, model, file=file, found=found), file=file) from None


def _syntax(message: str, text: str, file: str) -> ConfigError:
    """Python says where in its message and, before Python 3.14, nowhere else."""
    at = re.search(r"\s*\(at line (\d+), column (\d+)\)", message)
    line = int(at.group(1)) if at else text.count("\n") + 1
    words = re.sub(r"\s*\(at .*\)$", "", message)
    column = f", column {at.group(2)}" if at else ""
    return ConfigError(
        f"not valid TOML: {words}",
        where=f"{file}:{line}{column}",
        remedy="texts stand in quotes, tables in [ ], and each key once",
    )
