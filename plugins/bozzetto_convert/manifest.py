"""Manifest of the command `convert`."""

from __future__ import annotations

from bozzetto.commands import CommandSpec

CONVERT = CommandSpec(module="bozzetto_convert.command", summary="convert a threestudio recipe")
