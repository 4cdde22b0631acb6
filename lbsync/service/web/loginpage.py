"""The page to log in, in plain HTML.

Rule of this file: pure; nothing that was typed comes back on it, and it works without a script (but for the printed link).
"""

from __future__ import annotations

from html import escape

from lbsync.service.auth.access import Access

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in - lbsync</title>
<link rel="stylesheet" href="/static/login.css">
<script src="/static/login.js" defer></script>
</head>
<body>
<main>
<h1>lbsync</h1>
<p id="told" role="alert">{message}</p>
{ways}
</main>
</body>
</html>
"""
_BY_NAME = """<form method="post" action="/login">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="64">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256">
<button type="submit">Log in</button>
</form>
"""
_BY_LINK = """<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required maxlength="256" aria-describedby="where">
<p id="where">It is in the file serve.token of the state folder; the link that the service printed at its first start has it.</p>
<button type="submit">Log in by token</button>
</form>
"""
_BY_PROVIDER = """<p><a class="button" href="/login/oidc">Log in by the identity provider</a></p>
"""
_ARRIVED = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=/">
<title>Logged in - lbsync</title>
<link rel="stylesheet" href="/static/login.css">
</head>
<body>
<main><p>You are logged in: <a href="/">go on</a>.</p></main>
</body>
</html>
"""


def login_page(access: Access, message: str = "") -> str:
    """The page, with the ways that there are here; ``message`` says why the last try failed."""
    ways = [
        (access.oidc is not None, _BY_PROVIDER),
        (access.users_file is not None, _BY_NAME),
        (access.token is not None, _BY_LINK),
    ]
    text = "".join(way for there, way in ways if there) or "<p>Log in at the proxy in front of this service.</p>"
    return _PAGE.format(message=escape(message[:1].upper() + message[1:]), ways=text)


def arrived() -> str:
    """The page that goes on to the first page by itself."""
    return _ARRIVED
