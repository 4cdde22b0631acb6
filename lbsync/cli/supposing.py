"""``lbsync advise --if``: what would change in the verdicts; asks once, changes nothing.

Rule of this file: the farm is read as for any advice; what is supposed is put over it in memory and goes no further.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lbsync.cli.exits import ExitCode

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.cli.recorded import Looking
    from lbsync.target import Capabilities


def tell_what_if(screen: Session, house: Looking, supposed: Mapping[str, str]) -> ExitCode:
    """Show only what would change; returns what to end with: attention where something wanted would be refused.

    Raises TargetError where anything did not answer, ConfigError where the provider supposed is not installed.
    """
    from lbsync.advise import advise, reasons
    from lbsync.advise.compare import compare
    from lbsync.advise.what_if import implied, suppose
    from lbsync.cli.whatifview import what_if_view

    form = form_capabilities(supposed["balancer"]) if "balancer" in supposed else None
    look = house.look()
    now = (look.desired, look.facts, house.capabilities)
    then = suppose(supposed, *now, form)
    advice = advise(*then, look.now)
    comparison = compare(
        look.desired.modes,
        (advise(*now, look.now).farm, reasons(*now, look.now)),
        (advice.farm, reasons(*then, look.now)),
    )
    follows = implied(supposed)
    screen.result(*what_if_view(supposed, follows, comparison))
    screen.document(
        {"supposed": dict(supposed), "implied": follows}
        | comparison.model_dump(mode="json")
        | {"refused": [finding.model_dump(mode="json") for finding in advice.refusals]}
    )
    return ExitCode.ATTENTION if advice.refusals else ExitCode.OK


def form_capabilities(word: str) -> Capabilities:
    """What a balancer of this form can do, by its own provider; a provider opens nothing before it is asked of its device.

    Raises ConfigError where the provider is not installed.
    """
    from lbsync.advise.what_if import FORMS
    from lbsync.registry import plugin
    from lbsync.services import SERVICES
    from lbsync.target import BalancerSpec, Member

    form = FORMS[word]
    # What it would publish is of no account: abilities follow from settings alone.
    spec = BalancerSpec(
        name=word,
        hosts=("mail.example.com",),
        members=(Member(name="EX01", address="192.0.2.2", tls_name="mail.example.com"),),
        services=tuple(SERVICES),
        server_ca_pem="",
    )
    with plugin(form.provider).open(spec, form.settings) as balancer:
        return balancer.capabilities
