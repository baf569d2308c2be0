"""Test of a run as people have their models: a single file in the original layout, guided with two LoRAs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from tests.plugins.guidance.test_loras import write_lora
from tests.plugins.guidance.test_single_file import write_tiny

from bozzetto.cli import main
from bozzetto.files import sha256_of
from bozzetto_plugins.guidance import single_file


def test_a_single_file_and_two_loras_guide_a_run(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One LoRA as kohya's programs name its tensors, one as diffusers does; both change what the run learns."""
    model = write_tiny(tmp_path / "made", open_clip=False)
    monkeypatch.setattr(single_file, "LAYOUTS", model.layouts)
    file = tmp_path / "style.safetensors"
    save_file(model.tensors, file)
    kohya = write_lora(tmp_path / "kohya.safetensors", model.folder, "kohya", seed=1)
    diffusers = write_lora(tmp_path / "diffusers.safetensors", model.folder, "peft", seed=50)
    mixed = [{"file": str(kohya), "scale": 0.8}, {"file": str(diffusers), "scale": -0.5}]
    losses: list[list[str]] = []
    for loras in (mixed, []):
        guidance = {"model": str(file), "loras": loras}
        changes = {"system": {"tasks": {"random": {"guidance": guidance}}}, "output": str(tmp_path / f"{len(loras)}")}
        words = ["trainer.steps=2", "trainer.image_every=0", "export.mesh=null", "export.turntable=null"]
        assert main(["--config", str(tiny.recipe_file(changes)), *words]) == 0, capsys.readouterr().err
        (run,) = (tmp_path / f"{len(loras)}" / "tiny").iterdir()
        recorded = json.loads((run / "manifest.json").read_text())["weights"][str(file)]
        assert recorded["file_sha256"] == sha256_of(file)
        hashed = {name.removeprefix("file "): value for name, value in recorded.items() if name.startswith("file ")}
        assert hashed == {one["file"]: sha256_of(Path(one["file"])) for one in loras}
        metrics = run / "metrics" / "main.csv"
        losses.append([row["random/sds"] for row in csv.DictReader(metrics.read_text().splitlines())])
    assert len(losses[0]) == 2 and all(losses[0][step] != losses[1][step] for step in range(2)), losses
