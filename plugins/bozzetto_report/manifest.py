"""Manifest of the command `report`."""

from __future__ import annotations

from bozzetto.commands import CommandSpec

REPORT = CommandSpec(module="bozzetto_report.command", summary="write the page of a run, or of several side by side")
