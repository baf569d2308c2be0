"""Tests of the `bench` command: its output, and that `--help` imports no torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from bozzetto.cli import main
from bozzetto.config.loading import load_recipe
from bozzetto_bench import measure


def test_help_imports_no_torch() -> None:
    code = (
        "import argparse, sys, bozzetto_bench.command as b; p = argparse.ArgumentParser(); b.add_arguments(p); "
        "sys.exit('--plot' not in p.format_help() or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kernels_are_listed_as_they_are_measured() -> None:
    from bozzetto_bench.cases import CASES
    from bozzetto_bench.command import KERNELS

    assert tuple(CASES) == KERNELS


def test_one_kernel(capsys, tmp_path, monkeypatch, small) -> None:
    monkeypatch.setattr(measure, "QUICK", small)
    target = tmp_path / "numbers.json"
    arguments = ["bench", "--quick", "--only", "march", "--json", str(target), "--peers", str(tmp_path), "--cpu-time"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "| march " in out and "gemm bf16" in out and "processor: " in out and "part of a step" not in out
    results = json.loads(target.read_text())
    assert set(results) == {"machine", "limits", "kernels"} and results["machine"]["clock"] == "processor"
    assert results["kernels"][0]["scaling_1_to_2_threads"] is None


def test_the_step_and_the_sweep(capsys, tmp_path, monkeypatch, small, tiny) -> None:
    monkeypatch.setattr(measure, "QUICK", dataclasses.replace(small, steps=1))
    monkeypatch.setattr(measure, "LARGE_GRID", ())
    monkeypatch.setattr(measure, "SHADED", ())
    monkeypatch.setattr(measure, "RECIPE", str(tiny.recipe_file()))
    monkeypatch.setattr(
        "bozzetto_bench.command.load",
        lambda options, registry, config, changes=(): load_recipe(tiny.recipe_file(), registry, list(changes)),
    )
    picture, target = tmp_path / "cost.svg", tmp_path / "numbers.json"
    arguments = ["bench", "--quick", "--only", "step", "--plot", str(picture), "--json", str(target)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "the 3D side of it" in out and "quoted and not measured here" in out and "us per sample" in out
    assert picture.read_text().startswith("<svg")
    results = json.loads(target.read_text())
    assert (
        set(results["step"]) == {"whole", "without_prior", "shaded", "shaded_large"}
        and len(results["sweep"]["points"]) == 4
    )


def test_a_missing_folder_is_told_before_anything_is_measured(capsys, tmp_path) -> None:
    assert main(["bench", "--json", str(tmp_path / "none" / "numbers.json")]) == 2
    assert "--json: there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--only", "hashing"], ["--threads", "many"]])
def test_a_wrong_option_is_refused(wrong) -> None:
    assert main(["bench", *wrong]) == 2
