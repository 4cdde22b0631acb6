"""From the text of a configuration file to a ``Config``, or to every fault in it at once.

Rule of this room: text in, value out; opening the file is the caller's business. TOML's own types are kept strictly: the
port "443" is a wrong type and not a number in disguise.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from pydantic import BaseModel, ValidationError

from lbsync.config.agree import disagreements
from lbsync.config.locate import Path, line_of, lines
from lbsync.config.problems import BrokenConfig, from_validation, problem
from lbsync.config.sections import Config
from lbsync.errors import ConfigError


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


def load(text: str, *, file: str = "lbsync.toml", base: FilePath | None = None) -> Loaded:
    """The configuration in ``text``; ``file`` is how messages name it. Raises BrokenConfig with every fault."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BrokenConfig([_syntax(str(error), text, file)], file=file) from None
    found = lines(text)
    try:
        config = Config.model_validate_json(json.dumps(tables, default=str), strict=True)
    except ValidationError as error:
        raise BrokenConfig(from_validation(error, Config, file=file, found=found), file=file) from None
    wrong = sorted(disagreements(config), key=lambda fault: line_of(found, fault.path))
    if wrong:
        faults = [problem(one.message, one.path, file=file, found=found, remedy=one.remedy) for one in wrong]
        raise BrokenConfig(faults, file=file)
    return Loaded(config=config, file=file, base=base or FilePath(), lines=found)


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
