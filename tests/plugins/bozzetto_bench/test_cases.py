"""Tests of the cases: every case runs, its forms agree, and its row is correct."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bozzetto.kernels.api import GridSpec
from bozzetto.kernels.cpp import native
from bozzetto_bench import cases as module
from bozzetto_bench.candidates import Candidate, Peer, backward, find_peers, forward, missing
from bozzetto_bench.cases import CASES, OURS, TORCH, Case, HashProblem, Sizes
from bozzetto_bench.limits import limits
from bozzetto_bench.measure import Row, Thoroughness, kernel_rows, row_of
from bozzetto_bench.report import kernel_table, limits_table, table, values
from bozzetto_bench.timing import Timing

PEERS = Path(__file__).parents[3] / "tools" / "bench" / "peers"


@pytest.mark.parametrize("kernel", CASES)
def test_every_case_runs_and_its_forms_agree(kernel: str, small: Thoroughness) -> None:
    found = list(CASES[kernel](small.sizes, []))
    assert {case.kernel for case in found} == {kernel}
    assert len({case.name for case in found}) == len(found) >= 1
    for case in found:
        assert all(amount > 0 for amount in case.work.values()) and case.work
        results = {label: run() for label, run in case.runs.items()}
        assert OURS in results
        if TORCH in results:
            ours, reference = (_flat(results[label]) for label in (OURS, TORCH))
            torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-3 * float(reference.abs().max()))


def _flat(result) -> torch.Tensor:
    parts = [result] if isinstance(result, torch.Tensor) else list(result)
    return torch.cat([part.detach().double().flatten() for part in parts])


def test_the_work_of_hash_encoding_is_eight_rows_a_level_and_point() -> None:
    sizes = Sizes(points=10, tables=(15,), levels=4)
    once, trained, placed = module.hash_cases(sizes, [])
    assert once.work == {"gather 256 KB": 320.0}
    assert trained.work == {"gather 256 KB": 320.0, "add 256 KB": 320.0}
    assert placed.work == {"gather 256 KB": 640.0, "add 256 KB": 320.0}


def test_passes_give_what_they_say() -> None:
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    candidate, x = Candidate(lambda x: weight * x, (weight,)), torch.tensor([5.0, 7.0])
    assert not forward(candidate, x)().requires_grad
    (to_weight,) = backward(candidate, x)()
    assert to_weight.tolist() == [5.0, 7.0]
    to_weight, to_x = backward(candidate, x, with_input=True)()
    assert to_x.tolist() == [2.0, 3.0]


def test_a_row_divides_the_ideal_time_by_ours(small: Thoroughness) -> None:
    known = limits(small.effort)
    row = row_of(Case("mlp", "a case", {"gemm fp32": 1.0}, {OURS: lambda: None, TORCH: lambda: None}), known, small)
    assert set(row.timings) == {OURS, TORCH} and row.limits == ("gemm fp32",)
    assert row.share is not None and row.share > 0
    unknown = row_of(Case("mlp", "a case", {"moonlight": 1.0}, {OURS: lambda: None}), known, small)
    assert unknown.share is None


def test_only_the_chosen_kernels_are_measured(small: Thoroughness) -> None:
    peer = Peer("composite", "a peer", lambda problem: Candidate(lambda density: density[:, None] * problem.values))
    rows = list(kernel_rows(["composite"], small, [peer]))
    assert {row.kernel for row in rows} == {"composite"} and all("a peer" in row.timings for row in rows)


def example() -> Row:
    timings = {OURS: Timing(0.002, 0.001, 9), TORCH: Timing(0.05, 0.04, 3)}
    return Row("march", "march", timings, ("gather 256 KB", "stream"), 0.5, None)


def test_tables_and_values() -> None:
    text = kernel_table([example()])
    assert text.splitlines()[2] == "| march  | 2.00 |     50 % | gather 256 KB + stream | 25.0x |              - |"
    assert values(example())["ms"] == {OURS: 2.0, TORCH: 50.0}
    assert "12.0 GB/s" in limits_table({"stream": 1.2e10}, {"stream": "B/s"})
    assert len({len(line) for line in table(("a", "bb"), [("ccc", "d")]).splitlines()}) == 1


def test_peers_are_found_by_what_they_need(tmp_path: Path) -> None:
    text = 'KERNEL = "mlp"\nLABEL = "{0}"\nNEEDS = "{1}"\nUNLESS = "{2}"\ndef make(problem):\n    return problem\n'
    (tmp_path / "a.py").write_text(text.format("runs", "json", ""))
    (tmp_path / "b.py").write_text(text.format("lacks", "no_such_package.part", ""))
    (tmp_path / "c.py").write_text(text.format("pointless", "", "json"))
    peers, notes = find_peers(tmp_path)
    assert [(peer.kernel, peer.label, peer.make(3)) for peer in peers] == [("mlp", "runs", 3)]
    assert notes == ["lacks: no_such_package is not installed"]
    assert find_peers(None) == ([], [])
    assert missing("json.no_such_part").startswith("json is installed but does not work here")


def test_the_peers_of_the_checkout_load_and_ours_encodes() -> None:
    peers, notes = find_peers(PEERS)
    known = {peer.label for peer in peers} | {note.partition(":")[0] for note in notes}
    assert {"nerfstudio (torch)", "Dr.Jit (LLVM)", "nerfacc (padded)", "PyTorch3D"} <= known
    if missing("nerfstudio.field_components.encodings"):
        (peer,) = (peer for peer in peers if peer.label == "a torch form like nerfstudio's")
        spec = GridSpec(levels=3, log2_table_size=6, base_resolution=4)
        candidate = peer.make(HashProblem(torch.rand(5, 3), torch.zeros(spec.entry_count, 2), spec))
        with torch.no_grad():
            candidate.parameters[0].fill_(2.0)
        points = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(candidate.run(points), torch.full((5, 6), 2.0))


def test_without_compiled_kernels_shares_are_unknown(monkeypatch: pytest.MonkeyPatch, small: Thoroughness) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    assert set(limits(small.effort)) == {"gemm fp32", "gemm bf16"}
