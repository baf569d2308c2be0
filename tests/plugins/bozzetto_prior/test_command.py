"""Tests of `bozzetto prior check`: its report, and what cannot guide; no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.plugins.guidance.editing_models import tiny_instruct_pix2pix
from tests.plugins.guidance.model_families import tiny
from tests.plugins.guidance.test_single_file import write_tiny

from bozzetto.cli import main
from bozzetto.testing.fakes import tiny_stable_diffusion, tiny_zero123
from bozzetto_plugins.guidance import single_file
from bozzetto_prior import examination


def check(*words: str) -> int:
    """Run the command and return its exit code."""
    try:
        return main(["prior", "check", *words]) or 0
    except SystemExit as error:
        return int(error.code or 0)


def test_a_model_that_can_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_stable_diffusion(tmp_path / "mine", "v_prediction")
    assert check(str(folder)) == 0
    said = capsys.readouterr().out
    for text in (
        f"model       {folder} (folder, {folder}; licence: not recorded", "predicts    velocity (v)",
        "family      a latent diffusion model like Stable Diffusion", "pipeline    StableDiffusionPipeline",
        "guidance    stable-diffusion", "weights     unet 0.", "branches    cond, empty, negatives, plain, uncond",
        "levels      t    signal     noise  noise/signal", "\n      500  ", "\n      980  ",
        "text        as in diffusers' pipeline: embeddings differ by ", "output      output and its target correlate by", "the network is untrained, or",
        "contract    12 of 12 tests passed: it can guide",
    ):  # fmt: skip
        assert text in said, (text, said)


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux2", "z_image", "deepfloyd_if", "mvdream", "imagedream"])
def test_a_model_of_each_family_names_its_guidance(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = getattr(tiny, name)(tmp_path / "mine")
    folder = made if isinstance(made, Path) else tiny.saved(made, tmp_path / "saved")
    small = ["--image-size", "16"] if name == "z_image" else []  # it does not say what it was trained on
    assert check(str(folder), *small) == 0
    said = capsys.readouterr().out
    assert f"guidance    {'image-dream' if name == 'imagedream' else 'diffusion-prior'}\n" in said
    assert "text        as in diffusers' pipeline: embeddings differ by" in said
    assert "contract    12 of 12 tests passed: it can guide" in said


def test_a_model_that_edits_pictures_is_a_prior_of_its_guidance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tiny_instruct_pix2pix(tmp_path / "mine"))
    assert check(folder) == 0
    said = capsys.readouterr().out
    for text in (
        "family      InstructPix2Pix\n", "guidance    instruct-pix2pix\n", "branches    cond, image, uncond\n",
        "contract    12 of 12 tests passed: it can guide",
    ):  # fmt: skip
        assert text in said, (text, said)
    assert check(folder, "--guidance", "stable-diffusion") == 2
    assert "InstructPix2Pix, for the guidance instruct-pix2pix: it edits an image" in capsys.readouterr().err
    plain = str(tiny_stable_diffusion(tmp_path / "plain"))
    assert check(plain, "--guidance", "instruct-pix2pix") == 2
    assert "for the guidance stable-diffusion; this is instruct-pix2pix: its model edits" in capsys.readouterr().err


def test_a_single_file_in_the_original_layout_is_converted_and_can_guide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny(tmp_path / "made", open_clip=False)
    monkeypatch.setattr(single_file, "LAYOUTS", model.layouts)
    file = tmp_path / "style.safetensors"
    save_file(model.tensors, file)
    assert check(str(file)) == 0
    said = capsys.readouterr().out
    for text in (
        f"model       {file} (file, {file}, to be converted once to {tmp_path / 'style-diffusers'}; licence: not recorded",
        "family      Stable Diffusion 1.x\n", "guidance    stable-diffusion\n", "weights     unet ",
        "text        as in diffusers' pipeline: embeddings differ by ", "contract    12 of 12 tests passed: it can guide",
    ):  # fmt: skip
        assert text in said, (text, said)
    assert check(str(file), "--no-contract") == 0
    again = capsys.readouterr().out
    assert "converted to" in again and "family      Stable Diffusion 1.x\n" in again and "predicts    noise\n" in again


def test_only_files_are_read_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(tiny_stable_diffusion(tmp_path / "mine")), "--no-contract") == 0
    said = capsys.readouterr().out
    assert "predicts    noise" in said and "contract" not in said and "levels" not in said


def test_what_cannot_guide_exits_with_2_and_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_stable_diffusion(tmp_path / "mine")
    index = folder / "model_index.json"
    index.write_text(json.dumps({"_class_name": "StableDiffusionInpaintPipeline"}))
    assert check(str(folder)) == 2
    assert "It cannot guide:" in (said := capsys.readouterr().err) and "it expects a mask" in said
    key = "model.diffusion_model.input_blocks.0.0.weight"
    save_file({key: torch.zeros(4, 8, 3, 3)}, tmp_path / "edit.safetensors")
    assert check(str(tmp_path / "edit.safetensors")) == 2
    assert "is one file of InstructPix2Pix, which is not read. Give a folder" in capsys.readouterr().err
    assert check(str(tiny_zero123(tmp_path / "posed")), "--guidance", "stable-diffusion") == 2
    assert "It cannot guide as stable-diffusion" in capsys.readouterr().err
    assert check("nowhere") == 2
    assert check(str(folder), "--guidance", "zero124") == 2
    assert "Did you mean 'zero123'" in capsys.readouterr().err


def test_a_failing_contract_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(contract: object) -> None:
        raise AssertionError("noise must not decrease")

    name = "test_noise_increases_with_the_timestep_and_signal_decreases"
    monkeypatch.setattr(examination.PriorContract, name, fails)
    assert check(str(tiny_stable_diffusion(tmp_path / "mine"))) == 1
    said = capsys.readouterr().out
    assert "FAILED      noise increases with the timestep and signal decreases: noise must not decrease" in said
    assert "11 of 12 tests passed" in said
