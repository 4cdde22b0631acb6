"""LTM policies: drafts, publishing, and what may be done to a published one (nothing, since 12.1).

Rule of this room: the messages are recorded from devices (f5-common-python issues 668 and 1098).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from lbsync.lab.bigip import edit, errors
from lbsync.lab.bigip.kinds import KINDS
from lbsync.lab.bigip.names import Json, absolute, compose, draft_of, is_draft, parts, published_of
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.store import Draft
from lbsync.lab.bigip.words import CONTROLS

POLICY = KINDS["ltm/policy"]


def create(draft: Draft, given: Json) -> Body:
    """Make a draft, or with ``legacy`` a policy that is in force at once. Raises Refusal."""
    given = dict(given)
    legacy = given.pop("legacy", False)
    name = str(given.get("name") or "")
    home, below = str(given.get("partition") or "Common"), str(given.get("subPath") or "")
    path = name if name.startswith("/") else compose(home, below, name)
    if not is_draft(path) and not legacy:
        raise _direct(path)
    if is_draft(path) and published_of(path) in draft.of("ltm/policy"):
        raise errors.configuration(
            f'Published policy "{published_of(path)}" exists, use create-draft to create a draft copy .'
        )
    given["strategy"] = absolute(str(given.get("strategy") or "first-match"))
    return _finished(draft, edit.create(draft, POLICY, given))


def change(draft: Draft, path: str, given: Json, *, whole: bool) -> Body:
    """Change a draft, or make one of a published policy (``createDraft``). Raises Refusal."""
    given = {key: value for key, value in given.items() if key not in ("legacy", "status")}
    if given.get("createDraft"):
        return _redraft(draft, path)
    guard(draft, path)
    if "strategy" in given:
        given["strategy"] = absolute(str(given["strategy"]))
    change_of = edit.replace if whole else edit.modify
    return _finished(draft, change_of(draft, POLICY, path, given))


def guard(draft: Draft, path: str) -> None:
    """Refuse changes to a published policy and in it. Raises Refusal."""
    if edit.find(draft, POLICY, path).get("status") == "published":
        raise _direct(path)


def refresh(draft: Draft, path: str) -> None:
    """After a change inside a policy."""
    _finished(draft, edit.find(draft, POLICY, path))


def publish(draft: Draft, given: Json) -> None:
    """``publish``: the draft takes the place of the published one and is gone. Raises Refusal."""
    path = absolute(str(given.get("name") or ""))
    if given.get("command") != "publish":
        raise errors.nothing_given("command publish, name")
    body = edit.find(draft, POLICY, path)
    if not is_draft(path):
        raise errors.configuration(f'Policy "{path}" is not a draft.')  # Assumption ``wording``.
    target = published_of(path)
    draft.drop("ltm/policy", path)
    draft.put("ltm/policy", target, {**_moved(body, target), "status": "published", "lastModified": _now()})


def _redraft(draft: Draft, path: str) -> Body:
    body = edit.find(draft, POLICY, path)
    target = draft_of(path)
    if is_draft(path) or target in draft.of("ltm/policy"):
        raise errors.exists(POLICY.title, target)
    home = target.rsplit("/", 1)[0]
    if home not in draft.of("sys/folder"):
        edit.create(draft, KINDS["sys/folder"], {"name": home})
    return draft.put("ltm/policy", target, {**_moved(body, target), "status": "draft", "lastModified": _now()})


def _moved(body: Body, path: str) -> Json:
    partition, below, name = parts(path)
    kept = {key: value for key, value in body.items() if key not in ("name", "partition", "subPath", "fullPath")}
    return {"name": name, "partition": partition, **({"subPath": below} if below else {}), "fullPath": path, **kept}


def _finished(draft: Draft, body: Body) -> Body:
    """Status, date, and the controls its actions need (assumption ``controls``)."""
    path = str(body["fullPath"])
    controls = [str(one) for one in cast("list[object]", body.get("controls") or [])]
    for rule in body.get("rules", ()):
        for action in rule.get("actions", ()):
            controls += [word for key, word in CONTROLS.items() if action.get(key) and word not in controls]
    rules = sorted(body.get("rules", ()), key=lambda rule: int(rule.get("ordinal", 0)))
    status = "draft" if is_draft(path) else "legacy"
    return draft.put("ltm/policy", path, {**body, "controls": controls, "requires": body.get("requires") or [],
                                          "rules": rules, "status": status, "lastModified": _now(),
                                          "references": {}})  # fmt: skip


def _direct(path: str) -> errors.Refusal:
    return errors.Refusal(
        400,
        f"01071abb:3: Cannot create/modify published policy '{path}' directly, try specifying a draft folder"
        f" like '{draft_of(path)}'.",
    )


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
