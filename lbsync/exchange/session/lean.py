"""pywinrm's transport, with the costs it adds to every message taken out.

Rule of this room: what is sent and what comes back is what pywinrm's transport sends and returns; only the way there is
shorter. Kerberos and CredSSP, which put a token of their own into each request, and sealed messages go pywinrm's way whole.

A message of a session that is logged in costs three parts: preparing a request, the hooks and cookies of requests, and the
connection. The first two do nothing for it.
"""

from __future__ import annotations

from typing import cast

from requests import PreparedRequest, Request, Session
from requests.auth import HTTPBasicAuth
from requests_ntlm import HttpNtlmAuth
from urllib3 import Timeout
from winrm.exceptions import WinRMTransportError
from winrm.transport import Transport

from lbsync.exchange.session.settings import SessionSettings
from lbsync.exchange.session.transport import Adapter, prepare

_MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_UNAUTHORISED = 401
_FAILED = 400


class LoginGone(Exception):
    """401 to a message on a connection that was logged in: the connection is another one now."""


class LeanTransport(Transport):
    """One session. ``adapter`` is there after ``build_session``."""

    def __init__(self, settings: SessionSettings) -> None:
        super().__init__(
            endpoint=settings.endpoint,
            auth_method=settings.transport,
            username=settings.user,
            password=settings.password(),
            service="HTTP",
            cert_pem=str(settings.certificate_file or ""),
            cert_key_pem=str(settings.key_file or ""),
            ca_trust_path=cast("str", None),  # documented as "no path"; the adapter's context verifies
            kerberos_hostname_override=settings.tls_name,
            # Sealing is set up by the caller, once the connection is ours; "never" only means "not by itself".
            message_encryption="never",
            proxy=None,
        )
        self._settings = settings
        self._lean = not settings.seals and settings.transport in {"ntlm", "basic", "certificate"}
        self._template: PreparedRequest | None = None
        self._logged_in = False
        self._timeouts = (settings.connect_timeout_s, float(settings.operation_timeout_s))
        self.adapter: Adapter | None = None

    def limit(self, connect_s: float, read_s: float) -> None:
        """The time-outs of the next requests, seconds."""
        self._timeouts = (connect_s, read_s)
        # pywinrm hands it to requests, which takes (connect, read); its annotation knows one number only.
        self.read_timeout_sec = cast("int", self._timeouts)

    def build_session(self) -> Session:
        """The session, made at the first call; pywinrm's own way reads the environment for proxies nobody uses."""
        if self.session is None:
            session = self._plain_session() if self._lean else super().build_session()
            self.adapter = prepare(session, self._settings)
            self.session = session
        return self.session

    def send_message(self, message: str | bytes) -> bytes:
        """Send one SOAP message; the answer's body. Raises as pywinrm's does, urllib3's HTTPError, and LoginGone."""
        data = message.encode() if isinstance(message, str) else message
        if not self._lean:
            return super().send_message(data)
        session = self.build_session()
        if self._logged_in and self.adapter is not None and self._template is not None:
            return self._straight(self.adapter, self._template, data)
        if self._template is None:
            self._template = session.prepare_request(Request("POST", self.endpoint, data=b""))
        request = self._template.copy()
        request.body = data
        request.headers["Content-Length"] = str(len(data))
        answer = self._get_message_response_text(self._send_message_request(session, request))
        self._logged_in = True
        return answer

    def _straight(self, adapter: Adapter, template: PreparedRequest, data: bytes) -> bytes:
        headers = {**template.headers, "Content-Length": str(len(data))}
        response = adapter.connections().urlopen(
            "POST",
            template.path_url,
            body=data,
            headers=headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=Timeout(*self._timeouts),
        )
        if response.status == _UNAUTHORISED:
            raise LoginGone
        if response.status >= _FAILED:
            raise WinRMTransportError("http", response.status, response.data.decode(errors="replace"))
        return response.data

    def _plain_session(self) -> Session:
        session = Session()
        match self._settings.transport:
            case "ntlm":
                session.auth = HttpNtlmAuth(self.username, self.password)
            case "basic":
                session.auth = HTTPBasicAuth(self.username or "", self.password or "")
            case _:
                session.headers["Authorization"] = _MUTUAL
        session.headers.update(self.default_headers)
        return session
