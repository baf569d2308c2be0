"""nerfacc's volume rendering on a CPU: its packed kernels are CUDA only, so rays are padded to equal length."""

from __future__ import annotations

import torch
from torch import Tensor

from bozzetto_bench.candidates import Candidate
from bozzetto_bench.cases import CompositeProblem

KERNEL = "composite"
LABEL = "nerfacc (padded)"
NEEDS = "nerfacc"


def make(problem: CompositeProblem) -> Candidate:
    """Return the candidate; padding is not timed, but the empty samples are."""
    import nerfacc

    counts = problem.offsets.diff()
    ray = torch.repeat_interleave(torch.arange(len(counts)), counts)
    place = ray * int(counts.max()) + torch.arange(len(ray)) - problem.offsets[ray]

    def padded(packed: Tensor) -> Tensor:
        flat = packed.new_zeros(len(counts) * int(counts.max()), *packed.shape[1:])
        return flat.index_copy(0, place, packed).unflatten(0, (len(counts), -1))

    t_start, t_end = padded(problem.t_start), padded(problem.t_end)

    def run(density: Tensor) -> Tensor:
        weights, _, _ = nerfacc.render_weight_from_density(t_start, t_end, padded(density))
        return nerfacc.accumulate_along_rays(weights, padded(problem.values))

    return Candidate(run, (problem.values,))
