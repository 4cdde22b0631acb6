"""The tables ``[[service.notices]]``: who is told what, and where.

Rule of this file: shapes only. An address holds passwords and tokens, so it is a reference to a secret, never written here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lbsync.config.reference import SecretRef
from lbsync.config.shapes import Section, Text

NoticeKind = Literal["expiry", "done", "failed", "stuck", "waiting", "drift", "unseen", "recovered"]
NOTICE_KINDS: tuple[NoticeKind, ...] = ("expiry", "done", "failed", "stuck", "waiting", "drift", "unseen", "recovered")


class NoticeSection(Section):
    """Somebody who is told: a channel, a mailbox, a program."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    """A name for pages, metrics and lbsync serve-notice test."""
    url: SecretRef
    """A reference to the address, as apprise writes one: msteams://..., slack://..., mailtos://..., jsons://..."""
    kinds: Annotated[tuple[NoticeKind, ...], Field(min_length=1)] = NOTICE_KINDS
    """What is told: expiry, done, failed, stuck (at work for hours), waiting (for approval), drift, unseen, recovered."""
    namespaces: Annotated[tuple[Text, ...], Field(min_length=1)] = ("*",)
    """Of which configurations: names, with * and ? as wildcards."""
    min_level: Literal["ok", "warning", "critical"] = "ok"
    """Nothing less bad than this."""
