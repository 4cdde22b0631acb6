"""WS-Management messages as WinRS uses them: requests read, responses and faults written.

Rule of this room: text in, text out; it holds no state. Sources: MS-WSMV, and what pywinrm 0.5.0 sends and expects.
"""

from __future__ import annotations

import base64
import re
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from html import escape

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_RESOURCE = f"{SHELL}/cmd"
_S = "{http://www.w3.org/2003/05/soap-envelope}"
_A = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
_W = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}"
_R = f"{{{SHELL}}}"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_DEFAULT_TIMEOUT_S = 60.0

TIMED_OUT = 2150858793
QUOTA_SHELLS = 2150859174
UNKNOWN_SHELL = 2150858843
UNKNOWN_RESOURCE = 2150858811
UNKNOWN_ACTION = 2150858770
ABORTED = 995
ACCESS_DENIED = 5

_FAULTS = {
    TIMED_OUT: (
        "w:TimedOut",
        ("The WS-Management service cannot complete the operation within the time specified in OperationTimeout."),
    ),
    QUOTA_SHELLS: (
        "w:QuotaLimit",
        (
            "The WS-Management service cannot process the request. This user is allowed a maximum "
            "number of {detail} concurrent shells, which has been exceeded. Close existing shells or raise the quota for "
            "this user."
        ),
    ),
    UNKNOWN_SHELL: (
        "w:InvalidSelectors",
        (
            "The request for the Windows Remote Shell with ShellId {detail} failed because the "
            "shell was not found on the server."
        ),
    ),
    UNKNOWN_RESOURCE: (
        "a:DestinationUnreachable",
        "The resource URI {detail} was not found in the WS-Management catalog.",
    ),
    UNKNOWN_ACTION: ("a:ActionNotSupported", "The action {detail} is not supported by the service."),
    ABORTED: (
        "w:InternalError",
        ("The I/O operation has been aborted because of either a thread exit or an application request."),
    ),
    ACCESS_DENIED: ("w:AccessDenied", "Access is denied."),
}


class NotWsman(Exception):
    """The body is no WS-Management message."""


class WsmanFault(Exception):
    """A request that is answered with a fault."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Message:
    """One request. Fields that its action does not carry are empty."""

    action: str
    message_id: str
    resource: str
    shell_id: str = ""
    command_id: str = ""
    command_line: str = ""
    skip_cmd_shell: bool = False
    stdin: bytes = b""
    end: bool = False
    timeout_s: float = _DEFAULT_TIMEOUT_S


def parse(body: bytes) -> Message:
    """Read a request. Raises NotWsman."""
    try:
        root = ET.fromstring(body)  # noqa: S314  the lab's own clients; expat bounds entity expansion
        header, content = root.find(f"{_S}Header"), root.find(f"{_S}Body")
        if header is None or content is None:
            raise NotWsman
        action = _text(header, f"{_A}Action").rsplit("/", 1)[-1]
        stream = content.find(f"{_R}Send/{_R}Stream")
        stream = content.find(f"{_R}Stream") if stream is None else stream
        return Message(
            action=action,
            message_id=_text(header, f"{_A}MessageID"),
            resource=_text(header, f"{_W}ResourceURI"),
            shell_id=_text(header, f"{_W}SelectorSet/{_W}Selector"),
            command_id=_command_id(content),
            command_line=_command_line(content),
            skip_cmd_shell=_option(header, "WINRS_SKIP_CMD_SHELL").upper() == "TRUE",
            stdin=b"" if stream is None else base64.b64decode(stream.text or ""),
            end=stream is not None and stream.get("End", "").lower() in {"true", "1"},
            timeout_s=_seconds(_text(header, f"{_W}OperationTimeout")),
        )
    except (ET.ParseError, ValueError) as problem:
        raise NotWsman from problem


def _text(element: ET.Element, path: str) -> str:
    found = element.find(path)
    return "" if found is None else (found.text or "").strip()


def _option(header: ET.Element, name: str) -> str:
    options = header.iterfind(f"{_W}OptionSet/{_W}Option")
    return next((option.text or "" for option in options if option.get("Name") == name), "")


def _command_line(content: ET.Element) -> str:
    line = content.find(f"{_R}CommandLine")
    if line is None:
        return ""
    parts = [line.findtext(f"{_R}Command") or "", *(item.text or "" for item in line.iterfind(f"{_R}Arguments"))]
    return " ".join(part for part in parts if part)


def _command_id(content: ET.Element) -> str:
    for element in content.iter():
        if "CommandId" in element.attrib:
            return element.attrib["CommandId"]
    return ""


def _seconds(duration: str) -> float:
    match = re.fullmatch(r"PT(?:(\d+)M)?(?:([\d.]+)S)?", duration)
    if match is None:
        return _DEFAULT_TIMEOUT_S
    return 60.0 * int(match[1] or 0) + float(match[2] or 0)


def _envelope(action: str, message: Message | None, body: str) -> bytes:
    relates = f"<a:RelatesTo>{escape(message.message_id)}</a:RelatesTo>" if message else ""
    return (
        '<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        f'xmlns:x="{_TRANSFER}" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{SHELL}" '
        'xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd">'
        f"<s:Header><a:Action>{action}</a:Action><a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        "<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>"
        f"{relates}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def created(message: Message, shell_id: str) -> bytes:
    """The answer to Create."""
    reference = (
        f"<x:ResourceCreated><a:Address>http://localhost/wsman</a:Address><a:ReferenceParameters><w:ResourceURI>{_RESOURCE}"
        f'</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
        f"</a:ReferenceParameters></x:ResourceCreated><rsp:Shell><rsp:ShellId>{shell_id}</rsp:ShellId></rsp:Shell>"
    )
    return _envelope(f"{_TRANSFER}/CreateResponse", message, reference)


def commanded(message: Message, command_id: str) -> bytes:
    """The answer to Command."""
    body = f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"
    return _envelope(f"{SHELL}/CommandResponse", message, body)


def done(message: Message) -> bytes:
    """The answer to Send, Signal and Delete."""
    if message.action == "Delete":
        return _envelope(f"{_TRANSFER}/DeleteResponse", message, "")
    return _envelope(f"{SHELL}/{message.action}Response", message, f"<rsp:{message.action}Response/>")


def received(message: Message, stdout: bytes, stderr: bytes, code: int | None) -> bytes:
    """The answer to Receive: some output, and with ``code`` the end of the command."""
    cid = message.command_id
    streams = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{cid}">{base64.b64encode(data).decode()}</rsp:Stream>'
        for name, data in (("stdout", stdout), ("stderr", stderr))
        if data
    )
    state = "Running"
    tail = ""
    if code is not None:
        streams += "".join(f'<rsp:Stream Name="{name}" CommandId="{cid}" End="true"/>' for name in ("stdout", "stderr"))
        state, tail = "Done", f"<rsp:ExitCode>{code & 0xFFFFFFFF}</rsp:ExitCode>"
    body = (
        f'<rsp:ReceiveResponse>{streams}<rsp:CommandState CommandId="{cid}" State="{SHELL}/CommandState/{state}">{tail}'
        "</rsp:CommandState></rsp:ReceiveResponse>"
    )
    return _envelope(f"{SHELL}/ReceiveResponse", message, body)


def fault(message: Message | None, code: int, detail: str = "", machine: str = "") -> bytes:
    """A fault, answered with HTTP 500."""
    subcode, text = _FAULTS[code]
    text = escape(text.format(detail=detail))
    body = (
        f"<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" Machine="{machine}">'
        f"<f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    return _envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", message, body)
