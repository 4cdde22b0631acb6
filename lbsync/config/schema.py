"""The configuration's JSON schema, for editors that complete and check TOML while it is written.

Rule of this room: derived from ``sections``, never written by hand; a test holds ``docs/config.schema.json`` to it.
"""

from __future__ import annotations

import json

from lbsync.config.sections import Config


def schema() -> str:
    """The schema as JSON text (draft 2020-12), ending in a newline."""
    made = Config.model_json_schema()
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "lbsync configuration"}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
