"""The six messages of a remote shell, out and in: text of SOAP envelopes, nothing else.

Rule of this room: pure. Every value put into a message is escaped. They are what pywinrm's own methods send; those build a
dictionary and turn it into XML by a library that takes a third of the CPU a server costs.

Source: [MS-WSMV] and pywinrm 0.5.0.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, fromstring
from xml.sax.saxutils import escape, quoteattr

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
_TERMINATE = f"{SHELL}/signal/terminate"

_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
    'xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" '
    f'xmlns:rsp="{SHELL}"><env:Header>'
    "<a:To>http://windows-host:5985/wsman</a:To>"
    f'<a:ReplyTo><a:Address mustUnderstand="true">{_ANONYMOUS}</a:Address></a:ReplyTo>'
    '<w:MaxEnvelopeSize mustUnderstand="true">153600</w:MaxEnvelopeSize>'
    "<a:MessageID>uuid:{message}</a:MessageID>"
    '<w:Locale mustUnderstand="false" xml:lang="en-US"/><p:DataLocale mustUnderstand="false" xml:lang="en-US"/>'
    "<w:OperationTimeout>PT{timeout}S</w:OperationTimeout>"
    f'<w:ResourceURI mustUnderstand="true">{SHELL}/cmd</w:ResourceURI>'
    '<a:Action mustUnderstand="true">{action}</a:Action>'
    "{selector}{options}</env:Header><env:Body>{body}</env:Body></env:Envelope>"
)

Action = Literal["Create", "Command", "Send", "Receive", "Signal", "Delete"]
_ACTIONS: Mapping[Action, str] = {
    "Create": f"{_TRANSFER}/Create",
    "Command": f"{SHELL}/Command",
    "Send": f"{SHELL}/Send",
    "Receive": f"{SHELL}/Receive",
    "Signal": f"{SHELL}/Signal",
    "Delete": f"{_TRANSFER}/Delete",
}


@dataclass(frozen=True, slots=True)
class Output:
    """One Receive: what came on stdout, the exit code (-1 before the end), and whether the command has ended."""

    stdout: bytes
    code: int
    ended: bool


def create(timeout_s: int) -> str:
    """Open a shell: UTF-8, without a profile."""
    options = {"WINRS_NOPROFILE": "TRUE", "WINRS_CODEPAGE": "65001"}
    streams = "<rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams>"
    return _message("Create", timeout_s, f"<rsp:Shell>{streams}</rsp:Shell>", options=options)


def command(shell: str, program: str, arguments: Iterable[str], timeout_s: int) -> str:
    """Start a program without cmd.exe, its stdin a pipe."""
    options = {"WINRS_CONSOLEMODE_STDIN": "FALSE", "WINRS_SKIP_CMD_SHELL": "TRUE"}
    line = f"<rsp:Command>{escape(program)}</rsp:Command><rsp:Arguments>{escape(' '.join(arguments))}</rsp:Arguments>"
    body = f"<rsp:CommandLine>{line}</rsp:CommandLine>"
    return _message("Command", timeout_s, body, shell=shell, options=options)


def send(shell: str, command_id: str, data: bytes, timeout_s: int, *, last: bool) -> str:
    """One piece of stdin; ``last`` closes it."""
    end = "true" if last else "false"
    text = base64.b64encode(data).decode("ascii")
    stream = f'<rsp:Stream CommandId={quoteattr(command_id)} Name="stdin" End="{end}">{text}</rsp:Stream>'
    return _message("Send", timeout_s, f"<rsp:Send>{stream}</rsp:Send>", shell=shell)


def receive(shell: str, command_id: str, timeout_s: int) -> str:
    """Ask for output."""
    stream = f"<rsp:DesiredStream CommandId={quoteattr(command_id)}>stdout stderr</rsp:DesiredStream>"
    return _message("Receive", timeout_s, f"<rsp:Receive>{stream}</rsp:Receive>", shell=shell)


def signal(shell: str, command_id: str, timeout_s: int) -> str:
    """Let go of a command."""
    body = f"<rsp:Signal CommandId={quoteattr(command_id)}><rsp:Code>{_TERMINATE}</rsp:Code></rsp:Signal>"
    return _message("Signal", timeout_s, body, shell=shell)


def delete(shell: str, timeout_s: int) -> str:
    """Close a shell."""
    return _message("Delete", timeout_s, "", shell=shell)


def shell_of(answer: bytes) -> str:
    """The id in the answer to ``create``. Raises ValueError where there is none (and for what is not XML: SyntaxError)."""
    for node in fromstring(answer).iter():  # noqa: S314  expat refuses entity bombs, and IIS' TLS or sealing stands before
        if _local(node) == "Selector" and node.get("Name") == "ShellId" and node.text:
            return node.text
    raise ValueError("no ShellId")


def command_of(answer: bytes) -> str:
    """The id in the answer to ``command``. Raises as ``shell_of``."""
    for node in fromstring(answer).iter():  # noqa: S314  as above
        if _local(node) == "CommandId" and node.text:
            return node.text
    raise ValueError("no CommandId")


def output_of(answer: bytes) -> Output:
    """The answer to ``receive``; stderr is left out (a bootstrap's errors stand in its JSON). Raises as ``shell_of``."""
    stdout: list[bytes] = []
    code, ended = -1, False
    for node in fromstring(answer).iter():  # noqa: S314  as above
        name = _local(node)
        if name == "Stream" and node.get("Name") == "stdout" and node.text:
            stdout.append(base64.b64decode(node.text))
        elif name == "CommandState":
            ended = ended or node.get("State", "").endswith("CommandState/Done")
        elif name == "ExitCode" and node.text:
            code = int(node.text)
    return Output(b"".join(stdout), code, ended)


def _message(
    action: Action, timeout_s: int, body: str, *, shell: str | None = None, options: Mapping[str, str] | None = None
) -> str:
    selector = ""
    if shell is not None:
        selector = f'<w:SelectorSet><w:Selector Name="ShellId">{escape(shell)}</w:Selector></w:SelectorSet>'
    chosen = "".join(f'<w:Option Name="{name}">{value}</w:Option>' for name, value in (options or {}).items())
    return _ENVELOPE.format(
        message=uuid.uuid4(),
        timeout=timeout_s,
        action=_ACTIONS[action],
        selector=selector,
        options=f"<w:OptionSet>{chosen}</w:OptionSet>" if chosen else "",
        body=body,
    )


def _local(node: Element) -> str:
    return node.tag.rpartition("}")[2]
