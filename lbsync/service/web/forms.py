"""Forms of pages that work without a script.

Rule of this file: pure; a form that is not as a browser sends one is an empty one.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from lbsync.service.auth.proxy import Headers, single

FORM: Final = "application/x-www-form-urlencoded"
_FIELDS: Final = 50


def fields_of(headers: Headers, body: bytes) -> dict[str, str]:
    """The fields of a form, the last of each name; none where it is no form or not as a browser sends one."""
    kind = (single(headers, "content-type") or "").partition(";")[0].strip().lower()
    if kind != FORM:
        return {}
    try:
        parsed = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError:
        return {}
    return {name: values[-1] for name, values in parsed.items()}
