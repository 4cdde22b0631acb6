"""What every table of the configuration is made of.

Rule of this file: the base of all tables, and the types that more than one file of tables uses.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Text = Annotated[str, StringConstraints(min_length=1)]


class Section(BaseModel):
    """One table: frozen, and closed so that a misspelt key is found."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
