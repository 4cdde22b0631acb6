"""Directives that the administrator set for a whole http or stream block, and that hold for our servers, too.

Rule of this room: pure. What can be switched off in our own server is (``render_http``, ``render_stream``); here is what cannot.
Each of these was tried: the proof of a reload does not meet them, since it asks for no page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbsync_nginx.dump import Directive
from lbsync_nginx.listens import Module

_REFUSING = {
    "http": frozenset({"allow", "deny", "auth_request", "limit_req", "limit_conn", "proxy_ssl_crl"}),
    "stream": frozenset({"allow", "deny", "limit_conn", "proxy_ssl_crl"}),
}
_CHANGING = {
    "http": frozenset(
        {"add_header", "add_trailer", "sub_filter", "limit_rate", "proxy_limit_rate", "proxy_bind", "root"}
    ),
    "stream": frozenset({"proxy_bind", "proxy_upload_rate", "proxy_download_rate"}),
}


def refusing(tree: Iterable[Directive], modules: Iterable[Module]) -> Iterator[str]:
    """What would turn Exchange's clients away, each as a sentence that says what to do."""
    for one, module in _of(tree, modules, _REFUSING):
        yield (
            f"{one.where} sets {one.name} for the whole {module} block, so it would hold for Exchange's clients too. Set it in "
            "the servers that need it."
        )


def changing(tree: Iterable[Directive], modules: Iterable[Module]) -> Iterator[str]:
    """What would change answers or connections, each as a sentence."""
    for one, module in _of(tree, modules, _CHANGING):
        yield (
            f"{one.where} sets {one.name} for the whole {module} block: it holds for Exchange, too. Make sure that this is "
            "meant, or set it in the servers that need it."
        )


def _of(
    tree: Iterable[Directive], modules: Iterable[Module], names: dict[str, frozenset[str]]
) -> Iterator[tuple[Directive, Module]]:
    wanted = tuple(modules)
    for top in tree:
        for module in wanted:
            for one in (top.block or ()) if top.name == module else ():
                if one.name in names[module]:
                    yield one, module
