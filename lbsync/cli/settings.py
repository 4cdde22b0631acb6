"""What a provider's settings mean before the provider sees them: secret references, and paths beside the configuration.

Rule of this file: a field typed ``SecretStr`` takes a reference in the file and the secret itself when the balancer is
opened; a field typed ``Path`` is a file on this host, relative to the configuration. Everything else passes untouched.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from lbsync.config import BrokenConfig, Loaded
from lbsync.config.locate import Path as KeyPath
from lbsync.config.reference import HOW, SecretRef
from lbsync.errors import ConfigError

Rewrite = Callable[[KeyPath, str], object]


def prepared(model: type[BaseModel], loaded: Loaded, at: KeyPath, raw: Mapping[str, object]) -> dict[str, object]:
    """The settings with absolute paths; secrets are references still. Raises BrokenConfig for a secret in plain text."""
    faults: list[ConfigError] = []
    adapter = TypeAdapter[str](SecretRef)

    def reference(key: KeyPath, text: str) -> str:
        try:
            return adapter.validate_python(text)
        except ValidationError:
            faults.append(loaded.fault("must be a reference to the secret, not the secret itself", key, remedy=HOW))
            return text

    settings = _rewritten(model, raw, at, secret=reference, path=lambda _key, text: str(loaded.path(text)))
    if faults:
        raise BrokenConfig(faults, file=loaded.file)
    return settings


def with_secrets(
    model: type[BaseModel], settings: Mapping[str, object], resolve: Callable[[str], SecretStr]
) -> dict[str, object]:
    """The settings with each reference replaced by its secret. Raises what ``resolve`` raises."""
    return _rewritten(model, settings, (), secret=lambda _key, text: resolve(text), path=lambda _key, text: text)


def _rewritten(
    model: type[BaseModel], raw: Mapping[str, object], at: KeyPath, *, secret: Rewrite, path: Rewrite
) -> dict[str, object]:
    settings: dict[str, object] = dict(raw)
    for name, field in model.model_fields.items():
        key = field.alias or name
        value = settings.get(key)
        kinds = _kinds(field.annotation)
        if isinstance(value, str) and SecretStr in kinds:
            settings[key] = secret((*at, key), value)
        elif isinstance(value, str) and Path in kinds:
            settings[key] = path((*at, key), value)
        elif isinstance(value, dict):
            table = typing.cast("dict[str, object]", value)
            for kind in kinds:
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    settings[key] = _rewritten(kind, table, (*at, key), secret=secret, path=path)
    return settings


def _kinds(annotation: object) -> tuple[object, ...]:
    """The alternatives of an annotation, ``Annotated`` and ``| None`` peeled off."""
    arguments = typing.get_args(annotation)
    return (annotation, *(kind for argument in arguments for kind in _kinds(argument)))
