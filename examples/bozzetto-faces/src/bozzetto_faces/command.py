"""`bozzetto faces RUN...`: sizes of the meshes that runs have exported. Imports no torch."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bozzetto
from bozzetto.commands import Host
from bozzetto.errors import UserError

HEAD = ("faces", "vertices", "closed", "MB", "run")


@dataclass(frozen=True)
class MeshSize:
    """Size of the mesh of one run."""

    run: str
    """Run folder."""
    subject: str = ""
    """Prompt, or the photo's name."""
    faces: int = 0
    """Number of triangles."""
    vertices: int = 0
    """Number of vertices; those along the seams of the texture count once."""
    closed: bool = False
    """Whether every edge has two faces."""
    megabytes: float = 0.0
    """Size of `mesh.glb`, texture included."""
    problem: str = ""
    """Why there is no mesh; empty if there is one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run folders and `--json`."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, e.g. outputs/*/*")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace, host: Host) -> int:
    """Print a row per run. Returns 1 if a run has no mesh, else 0."""
    sizes = [mesh_size(path) for path in options.runs]
    print(json.dumps([dataclasses.asdict(size) for size in sizes], indent=2) if options.json else table(sizes))
    return int(any(size.problem for size in sizes))


def mesh_size(path: Path) -> MeshSize:
    """Measure the exported mesh of a run; what is wrong with one run does not hide the others."""
    try:
        found = bozzetto.open_run(path)
        mesh, subject = found.mesh(), found.recipe.subject
    except UserError as error:
        return MeshSize(str(path), problem=str(error))
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    megabytes = (found.path / "export" / "mesh.glb").stat().st_size / 1e6
    return MeshSize(str(path), subject, len(mesh.faces), len(mesh.vertices), bool(mesh.is_watertight), megabytes)


def table(sizes: Sequence[MeshSize]) -> str:
    """Format the sizes as aligned columns."""
    rows = [HEAD, *(_cells(size) for size in sizes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
    return "\n".join(
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def _cells(size: MeshSize) -> tuple[str, ...]:
    if size.problem:
        return ("-", "-", "-", "-", size.problem)
    closed = "yes" if size.closed else "no"
    return (str(size.faces), str(size.vertices), closed, f"{size.megabytes:.2f}", f"{size.run}: {size.subject}")
