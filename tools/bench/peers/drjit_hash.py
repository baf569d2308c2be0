"""Dr.Jit's `HashGridEncoding` on its LLVM backend, which requires libLLVM."""

from __future__ import annotations

import torch
from torch import Tensor

from bozzetto_bench.candidates import Candidate
from bozzetto_bench.cases import HashProblem

KERNEL = "hash_encode"
LABEL = "Dr.Jit (LLVM)"
NEEDS = "drjit.hashgrid"


def make(problem: HashProblem) -> Candidate:
    """Return the candidate, including the conversion of positions, parameters and features between torch and Dr.Jit."""
    import drjit
    from drjit.hashgrid import HashGridEncoding
    from drjit.llvm.ad import Float32, TensorXf

    spec = problem.spec
    drjit.set_thread_count(torch.get_num_threads() - 1)
    encoding = HashGridEncoding(
        Float32, 3, n_levels=spec.levels, n_features_per_level=spec.features, hashmap_size=1 << spec.log2_table_size,
        base_resolution=spec.base_resolution, per_level_scale=spec.growth,
    )  # fmt: skip
    parameters = torch.randn(encoding.n_params, generator=torch.Generator().manual_seed(0)).requires_grad_()

    @drjit.wrap(source="torch", target="drjit")
    def encode(points: TensorXf, parameters: TensorXf) -> TensorXf:
        encoding.data = parameters.array
        columns = drjit.unravel(drjit.llvm.ad.Array3f, points.array)
        features = encoding(list(columns))
        return TensorXf(drjit.ravel(drjit.llvm.ad.ArrayXf(*features)), (points.shape[0], len(features)))

    def run(points: Tensor) -> Tensor:
        return encode(points, parameters)

    return Candidate(run, (parameters,))
