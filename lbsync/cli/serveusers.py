"""``lbsync serve-user``: the local users of ``lbsync serve``.

Rule of this file: a password comes from a terminal or from stdin, never from the command line, where every process of this
host could read it; a token is shown once.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import command
from lbsync.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from pydantic import SecretStr

app = typer.Typer(help="The local users of lbsync serve.", no_args_is_help=True, rich_markup_mode=None)


class RoleName(StrEnum):
    """The roles, each more than the one before; those of ``lbsync.service.values``, which costs too much to import here."""

    viewer = "viewer"
    operator = "operator"
    approver = "approver"


Name = Annotated[str, typer.Argument(help="The user's name.")]
UsersFile = Annotated[
    Path | None, typer.Option("--users", metavar="FILE", help="The file of users; default: [service] users_file.")
]


@app.command("add")
def add(
    name: Name,
    role: Annotated[RoleName, typer.Option("--role", help="What the user may do.")],
    token: Annotated[bool, typer.Option("--token", help="Make a token for programs instead of a password.")] = False,
    users: UsersFile = None,
    config: ConfigFile = None,
) -> None:
    """Add a user, or give one another role and password; asks for the password, or reads it from stdin.

    A user with --token logs in by a token, which is shown once. Sessions that the user has are over at once.
    """
    with command() as screen:
        from lbsync.service.auth.users import User, load, new_token, save, with_password
        from lbsync.service.values import Role

        path = _file(users, config)
        kept = load(path)
        before = kept.get(name)
        if token:
            secret, hashed = new_token()
            made = User(role=Role(role.value), password=before.password if before else None, token=hashed)
        else:
            secret = None
            hashed = with_password(_password())
            made = User(role=Role(role.value), password=hashed, token=before.token if before else None)
        save(path, {**kept, name: made})
        screen.note(f"{name} is {role.value} in {path}.")
        if secret is not None:
            typer.echo(secret.get_secret_value())


@app.command("list")
def list_(users: UsersFile = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the users with their roles and how they log in."""
    with command(as_json=as_json) as screen:
        from lbsync.service.auth.users import load

        rows = [
            {
                "name": name,
                "role": user.role.value,
                "password": user.password is not None,
                "token": user.token is not None,
            }
            for name, user in sorted(load(_file(users, config)).items())
        ]
        for row in rows:
            ways = " and ".join(way for way in ("password", "token") if row[way])
            screen.result(f"{row['name']}  {row['role']}  by {ways}")
        screen.document(rows)


@app.command("remove")
def remove(name: Name, users: UsersFile = None, config: ConfigFile = None) -> None:
    """Remove a user; sessions and tokens of the user are over at once."""
    with command() as screen:
        from lbsync.errors import ConfigError
        from lbsync.service.auth.users import load, save

        path = _file(users, config)
        kept = load(path)
        if name not in kept:
            raise ConfigError(
                "there is no such user", where=str(path), state="the file is as it was", remedy="see serve-user list"
            )
        save(path, {other: user for other, user in kept.items() if other != name})
        screen.note(f"{name} is removed from {path}.")


def _file(users: Path | None, config: Path | None) -> Path:
    """The file of users. Raises ConfigError."""
    if users is not None:
        return users
    from lbsync.cli.opening import open_config
    from lbsync.errors import ConfigError

    loaded = open_config(config)
    if loaded.config.service.users_file is None:
        raise ConfigError(
            "no file of users is named",
            where=f"{loaded.file}: [service]",
            remedy='set users_file = "users.toml" there, or name one with --users',
        )
    return loaded.base / Path(loaded.config.service.users_file).expanduser()


def _password() -> SecretStr:
    """Asked for twice at a terminal, else the first line of stdin."""
    from pydantic import SecretStr

    if sys.stdin.isatty():
        return SecretStr(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return SecretStr(sys.stdin.readline().removesuffix("\n").removesuffix("\r"))
