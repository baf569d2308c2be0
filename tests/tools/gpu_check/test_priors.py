"""Tests of the steps of each family of priors: tiny, on the CPU; and that the full sizes are the published ones."""

import json

import pytest
import torch

from bozzetto.machine.accelerators import Accelerator
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.model_families import networks
from bozzetto_plugins.guidance.model_families.known import PIPELINES
from bozzetto_plugins.guidance.model_families.words import WordsLayout
from gpu_check import priors
from gpu_check.families import FAMILIES, MVDREAM, SDXL, write_settings
from gpu_check.priors import TEXT_TOKENS, random_network, random_words

CPU, FOUND = torch.device("cpu"), Accelerator("cpu", "a test")
MILLIONS = {
    "SDXL": 2567, "MVDream": 868, "Stable Diffusion 3": 2243, "FLUX.2 klein base": 3876, "Z-Image": 6155,
    "DeepFloyd IF": 4305,
}  # fmt: skip
"""Parameters of each denoiser, as its authors publish them, and MVDream's as Stable Diffusion 2.1's with its cameras."""


def row_of(family, registry, folder):
    return priors.checked(family, registry, folder, FOUND, CPU, tiny=True, steps=1)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.recipe)
def test_a_step_of_each_family_is_measured(registry, tmp_path, family):
    row = row_of(family, registry, tmp_path)
    assert "error" not in row, row["error"]
    assert row["finite"] and row["s_per_step"] > 0.0 and row["peak_bytes"] is None
    known = PIPELINES[family.pipeline]
    assert row["prior"] == known.name and set(row["networks"]) == set(known.classes)
    assert row["network_bytes"] == sum(row["networks"].values()) > 1000


def test_every_family_of_the_guidance_is_checked():
    assert {family.pipeline for family in FAMILIES} == set(PIPELINES)


def test_a_family_that_fails_is_told_and_leaves_the_guidance_as_it_was(registry, tmp_path, monkeypatch):
    load, encode = networks.load_part, DiffusionPrior.encode_text
    monkeypatch.setattr(priors, "measured", lambda *_: 1 / 0)
    row = row_of(SDXL, registry, tmp_path)
    assert row["error"] == "ZeroDivisionError: division by zero" and "s_per_step" not in row
    assert networks.load_part is load and DiffusionPrior.encode_text is encode


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.recipe)
def test_denoisers_have_their_published_size(tmp_path, family):
    import diffusers

    known = PIPELINES[family.pipeline]
    folder = write_settings(family, tmp_path, tiny=False)
    settings = json.loads((folder / known.denoiser / "config.json").read_text())
    with torch.device("meta"):
        network = getattr(diffusers, settings["_class_name"]).from_config(settings)
    assert round(sum(value.numel() for value in network.parameters()) / 1e6) == MILLIONS[known.name]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.recipe)
def test_random_networks_have_the_data_type_of_the_family_and_no_gradient(tmp_path, family):
    known, folder = PIPELINES[family.pipeline], write_settings(family, tmp_path, tiny=True)
    half = getattr(torch, known.half)
    for part, kind in known.classes.items():
        network = random_network(kind, folder / part, half, CPU)
        values = [*network.parameters(), *(value for value in network.buffers() if value.is_floating_point())]
        assert all(value.dtype == half and not value.requires_grad for value in values)
        assert all(value.isfinite().all() for value in values)  # also those that diffusers leaves unfilled
    assert torch.get_default_dtype() == torch.float32


def test_random_texts_have_the_shapes_of_the_family():
    words = random_words(WordsLayout(100, 8, pooled=5, masked=True), 3, CPU)
    assert words.tokens.shape == (3, 100, 8) and words.pooled.shape == (3, 5)
    assert words.mask.sum(dim=1).tolist() == [TEXT_TOKENS] * 3
    plain = random_words(WordsLayout(100, 8), 3, CPU)
    assert plain.pooled is None and plain.mask is None


def test_a_text_of_mvdream_is_as_long_as_its_encoder_reads(tmp_path):
    folder = write_settings(MVDREAM, tmp_path, tiny=False)
    assert json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())["model_max_length"] == 77
