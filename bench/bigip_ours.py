"""lbsync's own rotation, as a program of its own: bigip_ours.py PORT FOLDER.

The provider below the engine: install the certificate with its chain, switch to it, save; from the login to the token given
back. What a plan reads before and what a step's checks read after is not part of it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from bench.bigip_rotation import BALANCER, HOST, PASSWORD, USER, clocked, given
from lbsync.model import Action
from lbsync.services import SERVICES
from lbsync.target import BalancerSpec, Member
from lbsync_certs import Bundle, Fingerprint
from lbsync_certs.pem import open_pem
from lbsync_f5 import plugin


@dataclass(frozen=True)
class Materials:
    """The one certificate that there is, with its key."""

    bundle: Bundle

    def open(self, leaf: Fingerprint) -> Bundle:
        """See MaterialSource."""
        if leaf != self.bundle.fingerprint:
            raise SystemExit("another certificate was asked for")
        return self.bundle


def main() -> None:
    """Rotate, and say what it took once everything is imported and the certificate is open."""
    rotation = given()
    bundle = open_pem("".join(rotation.pem(part) for part in ("key", "cert", "chain")).encode())
    spec = BalancerSpec(
        name=BALANCER, hosts=("mail.contoso.test",), services=tuple(SERVICES), server_ca_pem=rotation.pem("chain"),
        members=(Member(name="EX01", address="192.0.2.11", http_port=80, https_port=443, tls_name="mail.contoso.test"),),
    )  # fmt: skip
    settings: dict[str, object] = {
        "hosts": [HOST], "port": rotation.port, "user": USER, "password": PASSWORD, "ca_file": str(rotation.ca_file),
        "bind_address": "192.0.2.1",
    }  # fmt: skip
    for module in ("f5.bigip", "lbsync_f5.addresses"):
        importlib.import_module(module)
    with clocked(), plugin.open(spec, settings) as provider:
        for verb in ("install-certificate", "switch-certificate"):
            action = Action(target=BALANCER, verb=verb, args={"leaf": bundle.fingerprint})
            provider.perform(action, Materials(bundle))


if __name__ == "__main__":
    main()
