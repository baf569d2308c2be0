"""Tests that the check of a GPU runs its own dry mode on a CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def dry(folder, *words):
    command = [sys.executable, "tools/gpu_check", "--dry", "--out", str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "gpu_check.json").read_text()), (folder / "gpu_check.md").read_text()


def test_the_dry_mode_runs_and_writes_its_results(tmp_path):
    result, table = dry(tmp_path, "--parts", "kernels", "recipes", "full")
    (row,) = result["recipes"]
    assert row["recipe"] == "dreamfusion-sd" and row["steps"] == 4 and row["finite"]
    assert row["s_per_step"] > 0.0 and row["resume_difference"] == 0.0
    assert [row["model"] for row in result["full"]] == ["sd-2.1-base", "sd-1.5"]
    assert all(row["finite"] and row["gradient_norm"] > 0.0 for row in result["full"])
    assert len(result["kernels"]) == 6 and all(one["chosen_s"] > 0.0 < one["torch_s"] for one in result["kernels"])
    assert "| dreamfusion-sd | cuda | main |" in table and "failed" not in table
    assert not result["priors"] and not result["scores"] and "| prior |" not in table


@pytest.mark.slow
def test_the_dry_mode_takes_steps_of_every_prior_and_score(tmp_path):
    result, table = dry(tmp_path, "--parts", "priors", "scores")
    assert len(result["priors"]) == 10 and [row["score"] for row in result["scores"]] == ["sds", "ism", "sdi", "vsd"]
    assert result["scores"][0]["times_sds"] == 1.0 and all(row["times_sds"] > 0.0 for row in result["scores"])
    assert "| Z-Image | rfds-z-image |" in table and "failed" not in table


def test_without_a_gpu_it_says_why(tmp_path):
    command = [sys.executable, "tools/gpu_check", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={"CUDA_VISIBLE_DEVICES": "", "PATH": ""}
    )
    assert done.returncode == 2 and "there is no GPU" in done.stderr and "Try --dry" in done.stderr
