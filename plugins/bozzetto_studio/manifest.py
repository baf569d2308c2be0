"""Manifest of the command `studio`."""

from __future__ import annotations

from bozzetto.commands import CommandSpec

STUDIO = CommandSpec(
    module="bozzetto_studio.command",
    summary="a local page to start runs, watch them, and find earlier ones",
)
