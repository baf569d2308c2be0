"""Files beside the templates, read as they are."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def template_text(name: str) -> str:
    """Return the text of a file of this package's folder of templates."""
    return (files("bozzetto_report") / "templates" / name).read_text(encoding="utf-8")
