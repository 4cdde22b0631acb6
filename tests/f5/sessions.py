"""What the tests of sessions share: where a simulated BIG-IP is reached, and small things to do there.

Rule of this file: no fixtures, they are conftest's; each function does one thing, and what must come of it stands in the tests.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from lbsync.lab.bigip.device import BigIp
from lbsync_f5 import things
from lbsync_f5.session import Address, Session
from lbsync_f5.session.adapter import Patience

LOGIN = "/mgmt/shared/authn/login"
PATIENT = Patience(connect_s=10, answer_s=30, busy_s=30)
BRIEF = Patience(connect_s=10, answer_s=30, busy_s=0)


def address_of(device: BigIp, patience: Patience = PATIENT, **changes: Any) -> Address:
    """Where it is reached, and by whom."""
    address = Address(
        device.address, device.management_port, device.user, SecretStr(device.password), "tmos",
        str(device.directory / "ca.pem"), None, patience,
    )  # fmt: skip
    return replace(address, **changes)


def requests_to(device: BigIp, path: str, method: str = "POST") -> int:
    """How many were made to one path."""
    return Counter((one.method, one.path) for one in device.log)[method, path]


def make_pool(session: Session, name: str = "p", **body: object) -> None:
    """A pool, in the transaction that is open or at once."""
    session.create(things.POOL, f"/Common/{name}", body)


def make_pools(session: Session, names: str) -> None:
    """Several, called by a letter each."""
    for name in names:
        make_pool(session, name)
