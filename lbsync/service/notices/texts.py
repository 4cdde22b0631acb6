"""A notice as text: a title and a body, by templates that may be replaced.

Rule of this file: Jinja2 in its sandbox, plain text. The first line of a template is the title. A template of one's own that
is broken never keeps a notice back: the notice is told by the template of lbsync, which says so.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from lbsync.service.notices.values import Notice

if TYPE_CHECKING:
    from jinja2 import BaseLoader
    from jinja2.sandbox import SandboxedEnvironment

_TITLE: Final = 200
_BODY: Final = 8000


class Text(NamedTuple):
    """What is sent."""

    title: str
    body: str


def text_of(notice: Notice, folder: Path | None = None) -> Text:
    """A notice told by its kind's template, ``KIND.txt``: that of ``folder`` where there is one, else that of lbsync."""
    from jinja2 import TemplateError, TemplateNotFound

    if folder is not None:
        try:
            return _made(_own(folder), notice)
        except TemplateNotFound:
            pass
        except (TemplateError, ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            made = _made(_ours(), notice)
            return Text(
                made.title, f"{made.body}\n\n(The template {notice.kind}.txt is broken: {type(error).__name__}.)"
            )
    return _made(_ours(), notice)


def _made(environment: SandboxedEnvironment, notice: Notice) -> Text:
    words = environment.get_template(f"{notice.kind}.txt").render(notice=notice, **notice.facts)
    title, _, body = words.strip().partition("\n")
    return Text(title.strip()[:_TITLE], body.strip()[:_BODY])


def _environment(loader: BaseLoader) -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Plain text: escaping would put &amp; into mails. apprise is told that it is text and does what each service needs.
    return ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=False,  # see above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@lru_cache(maxsize=1)
def _ours() -> SandboxedEnvironment:
    from jinja2 import PackageLoader

    return _environment(PackageLoader("lbsync.service.notices", "templates"))


def _own(folder: Path) -> SandboxedEnvironment:
    from jinja2 import FileSystemLoader

    return _environment(FileSystemLoader(folder))
