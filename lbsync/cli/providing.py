"""``lbsync providers``: which balancers can be driven from here, and what their settings are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lbsync.registry import Installed


def providers(
    name: Annotated[str | None, typer.Argument(help="Show this provider's settings.")] = None, as_json: AsJson = False
) -> None:
    """List the kinds of balancers, or one's settings."""
    with command(as_json=as_json) as screen:
        from lbsync.registry import installed, plugin

        if name is not None:
            _settings(screen, name, plugin(name).settings)
            return
        broken = _list(screen, installed())
        if broken:
            screen.end(ExitCode.ATTENTION)


def _list(screen: Session, found: tuple[Installed, ...]) -> bool:
    """Every provider with its state; true when one is broken. Each is loaded alone: none can hide another."""
    from rich.table import Table

    from lbsync.errors import ConfigError
    from lbsync.registry import plugin

    table = Table("provider", "package", "version", "state", box=None, header_style="bold")
    rows: list[dict[str, str]] = []
    for one in found:
        try:
            plugin(one.name)
            state = "ready"
        except ConfigError as error:
            state = error.message
        table.add_row(one.name, one.distribution, one.version, state)
        rows.append({"name": one.name, "package": one.distribution, "version": one.version, "state": state})
    screen.result(table)
    screen.document(rows)
    return any(row["state"] != "ready" for row in rows)


def _settings(screen: Session, name: str, model: type[BaseModel]) -> None:
    from rich.table import Table

    table = Table(
        "key", "type", "default", "meaning", box=None, header_style="bold", title=f"[balancers.settings] of {name}"
    )
    schema = model.model_json_schema()
    for key, field in model.model_fields.items():
        shape = schema["properties"].get(key, {})
        default = "required" if field.is_required() else str(shape.get("default", ""))
        table.add_row(key, _type(shape), default, field.description or "")
    screen.result(table)
    screen.document(schema)


def _type(shape: dict[str, object]) -> str:
    """A JSON schema's type in a word or two."""
    if "enum" in shape:
        choices = shape["enum"]
        return " | ".join(str(choice) for choice in choices) if isinstance(choices, list) else ""
    alternatives = shape.get("anyOf")
    if isinstance(alternatives, list):
        return " | ".join(_type(one) for one in alternatives if isinstance(one, dict) and one.get("type") != "null")
    return str(shape.get("type", shape.get("$ref", "").__str__().rsplit("/", 1)[-1]))
