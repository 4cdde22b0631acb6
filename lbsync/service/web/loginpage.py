"""The page to log in.

Rule of this file: nothing that was typed comes back on it, and it works without a script (but for the printed link).
"""

from __future__ import annotations

from lbsync.service.auth.access import Access
from lbsync.service.web.templating import render


def login_page(access: Access, message: str = "") -> str:
    """The page, with the ways that there are here; ``message`` says why the last try failed."""
    return render(
        "login.html",
        None,
        message=message[:1].upper() + message[1:],
        by_provider=access.oidc is not None,
        by_name=access.users_file is not None,
        by_token=access.token is not None,
    )


def arrived() -> str:
    """The page that goes on to the first page by itself."""
    return render("arrived.html", None)
