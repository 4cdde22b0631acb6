"""Sessions with Exchange servers over WinRM.

Rule of this room: nobody else imports pywinrm or requests for Exchange; every shell that is opened is closed; a rejected
password is asked about once; no exception and no log line holds a secret. It knows scripts by name and nothing of what they
do.

``settings`` says where and as whom, ``gate`` keeps an account from being locked out, ``transport`` is TLS and HTTP, ``wire``
one thread's connection, ``failures`` turns what goes wrong into the errors of the house, ``pool`` is what others use.
"""

from __future__ import annotations

from lbsync.exchange.session.gate import LoginGate
from lbsync.exchange.session.pool import SessionPool, Shell, open_pools
from lbsync.exchange.session.settings import SessionSettings, TransportName

__all__ = ["LoginGate", "SessionPool", "SessionSettings", "Shell", "TransportName", "open_pools"]
