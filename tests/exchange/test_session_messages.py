"""The messages we write are those that pywinrm writes."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element, fromstring

import pytest
from winrm.protocol import Protocol

from lbsync.exchange.session import envelopes
from lbsync.exchange.session.envelopes import Output

Tree = tuple[str, tuple[tuple[str, str], ...], str, tuple[object, ...]]


class Recorded(Exception):
    """A message that would have been sent."""


class Recorder(Protocol):
    """pywinrm, with its messages caught before they leave."""

    def send_message(self, message: str) -> bytes:
        """Hand the message to the test."""
        raise Recorded(message)


def plain(node: Element) -> Tree:
    """A tree to compare: names, attributes, text; the message id is left out."""
    text = "" if node.tag.endswith("MessageID") else (node.text or "").strip()
    return node.tag, tuple(sorted(node.attrib.items())), text, tuple(plain(child) for child in node)


def tree(message: str) -> Tree:
    """A message as a tree to compare."""
    return plain(fromstring(message))  # noqa: S314  made two lines above


SHELL, COMMAND = "11AA-shell", "22BB-<command>"
PAIRS: dict[str, tuple[Callable[[Protocol], object], str]] = {
    "create": (lambda p: p.open_shell(noprofile=True, codepage=65001), envelopes.create(20)),
    "command": (
        lambda p: p.run_command(
            SHELL, "powershell.exe", ["-a", "b<&>c"], console_mode_stdin=False, skip_cmd_shell=True
        ),
        envelopes.command(SHELL, "powershell.exe", ["-a", "b<&>c"], 20),
    ),
    "send": (
        lambda p: p.send_command_input(SHELL, COMMAND, b"\x00in", end=False),
        envelopes.send(SHELL, COMMAND, b"\x00in", 20, last=False),
    ),
    "last send": (
        lambda p: p.send_command_input(SHELL, COMMAND, b"in", end=True),
        envelopes.send(SHELL, COMMAND, b"in", 20, last=True),
    ),
    "receive": (lambda p: p.get_command_output_raw(SHELL, COMMAND), envelopes.receive(SHELL, COMMAND, 20)),
    "signal": (lambda p: p.cleanup_command(SHELL, COMMAND), envelopes.signal(SHELL, COMMAND, 20)),
    "delete": (lambda p: p.close_shell(SHELL), envelopes.delete(SHELL, 20)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_each_message_is_pywinrms(name: str) -> None:
    """Element for element, attribute for attribute, what pywinrm 0.5.0 would send."""
    theirs, ours = PAIRS[name]
    with pytest.raises(Recorded) as caught:
        theirs(Recorder("http://ex01:5985/wsman", username="u", password="p"))
    assert tree(ours) == tree(str(caught.value))


def test_two_messages_have_two_ids() -> None:
    """A message id is never used twice."""
    assert envelopes.delete(SHELL, 20) != envelopes.delete(SHELL, 20)


def test_output_in_pieces() -> None:
    """Several streams of stdout join; stderr is left out; an end without Done is no end."""
    rsp = 'xmlns:r="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"'
    running = (
        f'<r:R {rsp}><r:Stream Name="stdout">YQ==</r:Stream><r:Stream Name="stderr">Yg==</r:Stream>'
        '<r:Stream Name="stdout">Yw==</r:Stream><r:Stream Name="stdout" End="true"/>'
        '<r:CommandState State="x/CommandState/Running"/></r:R>'
    )
    assert envelopes.output_of(running.encode()) == Output(b"ac", -1, ended=False)
    ended = f'<r:R {rsp}><r:CommandState State="x/CommandState/Done"><r:ExitCode>3</r:ExitCode></r:CommandState></r:R>'
    assert envelopes.output_of(ended.encode()) == Output(b"", 3, ended=True)


@pytest.mark.parametrize("read", [envelopes.shell_of, envelopes.command_of])
def test_an_answer_without_its_id(read: object) -> None:
    """An answer that lacks what it is about is a ValueError for the caller to name."""
    assert callable(read)
    with pytest.raises(ValueError, match="no "):
        read(b"<a/>")
