"""PyTorch3D's rasteriser, nearest triangle only."""

from __future__ import annotations

import torch
from torch import Tensor

from bozzetto_bench.candidates import Candidate
from bozzetto_bench.cases import MeshProblem

KERNEL = "rasterize"
LABEL = "PyTorch3D"
NEEDS = "pytorch3d.renderer.mesh.rasterize_meshes"


def make(problem: MeshProblem) -> Candidate:
    """Return the candidate; vertices are converted to its normalised device coordinates, x to the left."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    faces = problem.tri.long()
    left = torch.tensor([-1.0, 1.0, 1.0])

    def run(pos: Tensor) -> Tensor:
        vertices = pos[0, :, :3] / pos[0, :, 3:] * left + torch.tensor([0.0, 0.0, 1.0])
        meshes = Meshes(vertices[None], faces[None])
        return rasterize_meshes(meshes, image_size=problem.side, blur_radius=0.0, faces_per_pixel=1)[2]

    return Candidate(run)
