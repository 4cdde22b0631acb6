"""A rotation by Ansible's f5networks.f5_modules, as an administrator would write it: new objects, then the profile.

Verified against the CA by SSL_CERT_FILE, which these modules' HTTP client reads: they have no option for one. Telemetry to F5,
which they send unless told not to, is off.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench import playbooks
from bench.bigip_rotation import HOST, PASSWORD, PROFILE, USER, Rotation
from bench.measure import Cost

COLLECTION = "f5networks.f5_modules"
_NAME = "by_ansible"


def rotate(rotation: Rotation, *, everything: bool) -> Cost:
    """Key, certificate and profile; with ``everything`` the chain, too, and a save. Raises ProgramFailed."""
    entry = {"cert": _NAME, "key": _NAME} | ({"chain": f"{_NAME}_chain"} if everything else {})
    _, partition, profile = PROFILE.split("/")
    modules: list[tuple[str, Mapping[str, object]]] = [
        ("bigip_ssl_key_cert", {
            "key_name": _NAME, "key_content": rotation.pem("key"), "cert_name": _NAME, "cert_content": rotation.pem("cert"),
        }),
        ("bigip_profile_client_ssl", {"name": profile, "partition": partition, "cert_key_chain": [entry]}),
    ]  # fmt: skip
    if everything:
        modules.insert(1, ("bigip_ssl_certificate", {"name": f"{_NAME}_chain", "content": rotation.pem("chain")}))
        modules.append(("bigip_config", {"save": True}))
    provider = {"server": HOST, "server_port": rotation.port, "user": USER, "password": PASSWORD}
    provider |= {"validate_certs": True, "no_f5_teem": True}
    tasks = [{f"{COLLECTION}.{module}": {**arguments, "provider": provider}} for module, arguments in modules]
    book = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    here = {"ansible_connection": "local", "ansible_python_interpreter": playbooks.python()}
    group = {"hosts": {"localhost": {}}, "vars": here}
    return playbooks.run_book(group, book, {"SSL_CERT_FILE": str(rotation.ca_file)})
