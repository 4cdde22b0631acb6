"""The catalogue: every rule of the adviser by its id, and which of them judge what.

Rule of this room: nothing is judged by a rule that does not stand here; the page ``docs/which-mode.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lbsync.advise import balancers, bridge, certificate, farm, logon, members, offload, policy, rotation
from lbsync.advise.rule import AnyRule, Rule
from lbsync.model import Mode

FARM_RULES: Final[tuple[Rule, ...]] = (
    *farm.RULES,
    *members.RULES,
    *certificate.RULES,
    *balancers.RULES,
    *policy.FARM_RULES,
)
MODE_RULES: Final[Mapping[Mode, tuple[AnyRule, ...]]] = MappingProxyType(
    {
        Mode.OFFLOAD: (*offload.RULES, *policy.OFFLOAD_RULES, logon.CANNOT_OFFLOAD, *logon.RULES),
        Mode.BRIDGE: (*bridge.RULES, logon.CANNOT_BRIDGE, *logon.RULES),
    }
)

_ANY_CHANGE: Final[tuple[Rule, ...]] = (
    farm.SETUP_AT_WORK,
    farm.NOT_ADMINISTRATOR,
    farm.MISSING_CMDLETS,
    balancers.BLOCKED,
    balancers.PROBLEM,
    balancers.MARKED,
)
_ANY_CERTIFICATE: Final[tuple[Rule, ...]] = (
    *_ANY_CHANGE,
    farm.BEFORE_2013_SP1,
    farm.POOL_STOPPED,
    *certificate.RULES,
)
DISTRIBUTION_RULES: Final[tuple[Rule, ...]] = (*_ANY_CERTIFICATE, balancers.ANOTHER_LEAF)
"""Drift between members is what a distribution mends."""
ROTATION_RULES: Final[tuple[Rule, ...]] = (*_ANY_CERTIFICATE, rotation.NAME_MISSING)
TWO_SIDED_RULES: Final[tuple[Rule, ...]] = (*ROTATION_RULES, *rotation.TWO_SIDED_RULES)
"""As Extended Protection needs it."""
RETIREMENT_RULES: Final[tuple[Rule, ...]] = _ANY_CHANGE

CATALOGUE: Final[Mapping[str, AnyRule]] = MappingProxyType(
    {
        rule.id: rule
        for rule in (
            *FARM_RULES,
            *MODE_RULES[Mode.OFFLOAD],
            *MODE_RULES[Mode.BRIDGE],
            *DISTRIBUTION_RULES,
            *TWO_SIDED_RULES,
        )
    }
)
