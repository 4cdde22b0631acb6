"""Servers on the command line: what the words mean, and what is said of a name that there is not."""

from __future__ import annotations

import pytest

from lbsync.config.load import load
from lbsync.config.sections import Config
from lbsync.config.taken import taken_servers
from lbsync.config.wish import Leaf, desired
from lbsync.errors import ConfigError


def config(*groups: str | None) -> Config:
    """As many servers as groups, EX01 first."""
    text = 'version = 1\n[farm]\nname = "contoso"\n[farm.winrm]\nuser = "a"\npassword = "env:PW"\n'
    text += '[publish]\nhosts = ["mail.contoso.com"]\n'
    for number, group in enumerate(groups, start=1):
        text += f'[[servers]]\nname = "EX0{number}"\nfqdn = "ex0{number}.contoso.com"\n'
        text += f'group = "{group}"\n' if group else ""
    return load(text).config


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ([], ()),
        (["EX02"], ("EX02",)),
        (["ex03,EX01"], ("EX01", "EX03")),
        (["EX03", "EX03", " ex02 , EX03"], ("EX02", "EX03")),
        (["Canary"], ("EX01", "EX03")),
        (["canary", "EX02"], ("EX01", "EX02", "EX03")),
    ],
)
def test_servers_and_groups(words: list[str], taken: tuple[str, ...]) -> None:
    """Apart by commas or by themselves, in any case, each once, in configured order."""
    assert taken_servers(config("canary", None, "canary"), words) == taken


def test_groups_are_part_of_the_wish() -> None:
    """Those that have one."""
    assert desired(config("canary", None), Leaf(info=None)).groups == {"EX01": "canary"}


@pytest.mark.parametrize(
    ("groups", "word", "told"),
    [
        (("canary", None), "EX1", "there are the servers EX01, EX02 and the groups canary"),
        ((None, None), "zzz", "there are the servers EX01, EX02, and no groups"),
        ((None,), "", "there are the servers EX01, and no groups"),
    ],
)
def test_a_name_that_there_is_not(groups: tuple[str | None, ...], word: str, told: str) -> None:
    """All that there are stand in the remedy."""
    with pytest.raises(ConfigError) as refused:
        taken_servers(config(*groups), [word])
    assert "there is no server and no group" in refused.value.message
    assert told in refused.value.remedy
