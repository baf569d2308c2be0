"""Manifest of the command `faces`. Data only: listing it imports nothing else."""

from __future__ import annotations

from bozzetto.commands import CommandSpec

FACES = CommandSpec(module="bozzetto_faces.command", summary="list the sizes of the meshes that runs have exported")
