"""Tests that the check of a GPU runs its own dry mode on a CPU."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_dry_mode_runs_and_writes_its_results(tmp_path):
    command = [sys.executable, "tools/gpu_check", "--dry", "--no-tests", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "gpu_check.json").read_text())
    (row,) = result["recipes"]
    assert row["recipe"] == "dreamfusion-sd" and row["steps"] == 4 and row["finite"]
    assert row["s_per_step"] > 0.0 and row["resume_difference"] == 0.0
    assert len(result["kernels"]) == 6 and all(one["chosen_s"] > 0.0 < one["torch_s"] for one in result["kernels"])
    table = (tmp_path / "gpu_check.md").read_text()
    assert "| dreamfusion-sd | cuda | main |" in table and "failed" not in table


def test_without_a_gpu_it_says_why(tmp_path):
    command = [sys.executable, "tools/gpu_check", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={"CUDA_VISIBLE_DEVICES": "", "PATH": ""}
    )
    assert done.returncode == 2 and "there is no GPU" in done.stderr and "Try --dry" in done.stderr
