"""Manifest of the command `view`."""

from __future__ import annotations

from bozzetto.commands import CommandSpec

VIEW = CommandSpec(
    module="bozzetto_view.command",
    summary="show a run in the browser, while it trains or afterwards",
    beside_run=True,
)
