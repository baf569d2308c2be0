"""Manifest of the command `bench`."""

from __future__ import annotations

from bozzetto.commands import CommandSpec

BENCH = CommandSpec(module="bozzetto_bench.command", summary="measure kernels and training steps on this machine")
