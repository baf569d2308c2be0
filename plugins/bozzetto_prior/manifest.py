"""Manifest of the command `prior`."""

from __future__ import annotations

from bozzetto.commands import CommandSpec

PRIOR = CommandSpec(module="bozzetto_prior.command", summary="say what a model is, and whether it can guide")
