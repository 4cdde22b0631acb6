"""Open the configuration file and judge what pure parsing cannot: providers' settings, and files that must exist.

Rule of this file: every fault found here points at its line too, and all of them are told together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.cli.options import config_path
from lbsync.config import BrokenConfig, Loaded, load
from lbsync.config.locate import Path as KeyPath
from lbsync.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lbsync.target import Plugin


def open_config(chosen: Path | None) -> Loaded:
    """The configuration, from the file chosen or from a default place. Raises ConfigError."""
    path = config_path(chosen)
    return load(read_text(path), file=str(path), base=path.parent.absolute())


def read_text(path: Path) -> str:
    """A configuration file's text. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8-sig")  # editors of Windows put a mark in front
    except FileNotFoundError:
        raise ConfigError(
            "there is no configuration file",
            where=str(path),
            state="nothing was read from any server or balancer, nothing was changed",
            remedy="copy config.example.toml there and adapt it, or name one with --config",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(
            f"the configuration file cannot be read: {reason}",
            where=str(path),
            state="nothing was read from any server or balancer, nothing was changed",
            remedy="look at the file and at its rights",
        ) from None


def validate_settings(loaded: Loaded) -> dict[str, tuple[Plugin[BaseModel], dict[str, object]]]:
    """Each balancer's provider, and its settings with secret references still in place.

    Raises BrokenConfig with every fault: an unknown or broken provider, wrong settings, a file that is not there.
    """
    faults = list(_missing_files(loaded))
    opened: dict[str, tuple[Plugin[BaseModel], dict[str, object]]] = {}
    for index, balancer in enumerate(loaded.config.balancers):
        try:
            opened[balancer.name] = _provider(loaded, index)
        except BrokenConfig as broken:
            faults += broken.problems
        except ConfigError as fault:
            faults.append(fault)
    if faults:
        raise BrokenConfig(faults, file=loaded.file)
    return opened


def _provider(loaded: Loaded, index: int) -> tuple[Plugin[BaseModel], dict[str, object]]:
    from pydantic import ValidationError

    from lbsync.cli.settings import prepared
    from lbsync.registry import plugin

    section = loaded.config.balancers[index]
    at: KeyPath = ("balancers", index)
    try:
        found = plugin(section.provider)
    except ConfigError as error:
        raise loaded.fault(error.message, (*at, "provider"), remedy=error.remedy) from error
    settings = prepared(found.settings, loaded, (*at, "settings"), section.settings)
    try:
        found.settings.model_validate(settings)
    except ValidationError as error:
        raise loaded.faults(error, found.settings, (*at, "settings")) from None
    return found, settings


def _missing_files(loaded: Loaded) -> list[ConfigError]:
    config = loaded.config
    winrm = config.farm.winrm
    named: list[tuple[KeyPath, str | None]] = [
        (("farm", "winrm", "ca_file"), winrm.ca_file),
        (("farm", "winrm", "certificate_file"), winrm.certificate_file),
        (("farm", "winrm", "key_file"), winrm.key_file),
        (("certificate", "file"), config.certificate.file),
        (("publish", "server_ca_file"), config.publish.server_ca_file),
        (("publish", "client_ca_file"), config.publish.client_ca_file),
    ]
    return [
        loaded.fault(f"there is no file {loaded.path(name)}", key, remedy="paths start from the configuration's folder")
        for key, name in named
        if name is not None and not loaded.path(name).is_file()
    ]
