"""Hooks of mkdocs: what docstrings say in roles of reStructuredText, as plain code."""

from __future__ import annotations

import re

__all__ = ["on_page_content"]

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>")


def on_page_content(html: str, **_: object) -> str:
    """The page without names of roles."""
    return _ROLE.sub("<code>", html)
