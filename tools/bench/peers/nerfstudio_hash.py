"""nerfstudio's `HashEncoding` in torch, as used without tiny-cuda-nn."""

from __future__ import annotations

from bozzetto_bench.candidates import Candidate
from bozzetto_bench.cases import HashProblem

KERNEL = "hash_encode"
LABEL = "nerfstudio (torch)"
NEEDS = "nerfstudio.field_components.encodings"


def make(problem: HashProblem) -> Candidate:
    """Return the candidate; it also hashes coarse levels: the same amount of work, a different function."""
    from nerfstudio.field_components.encodings import HashEncoding

    spec = problem.spec
    encoding = HashEncoding(
        num_levels=spec.levels,
        min_res=spec.base_resolution,
        max_res=spec.table[-1].resolution,
        log2_hashmap_size=spec.log2_table_size,
        features_per_level=spec.features,
        implementation="torch",
    )
    return Candidate(encoding, (encoding.hash_table,))
