"""Tests of the steps of each prior: tiny, on the CPU; and that the full sizes are the published ones."""

import json

import pytest
import torch

from bozzetto.machine.accelerators import Accelerator
from bozzetto_plugins.guidance import denoiser, photo_tokens
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.instruct_pix2pix import InstructPix2Pix
from bozzetto_plugins.guidance.model_families import networks
from bozzetto_plugins.guidance.model_families.known import PIPELINES
from bozzetto_plugins.guidance.model_families.words import WordsLayout
from gpu_check import priors
from gpu_check.families import FAMILIES, IMAGEDREAM, MVDREAM, SDXL
from gpu_check.latent_models import CONTROLLED, EDIT, LATENT_MODELS, THREE_WAY
from gpu_check.priors import PRIORS, TEXT_TOKENS, loop_of, random_network, random_words

CPU, FOUND = torch.device("cpu"), Accelerator("cpu", "a test")
MILLIONS = {
    "SDXL": {"unet": 2567}, "MVDream": {"unet": 868}, "ImageDream": {"unet": 868, "image_encoder": 631},
    "Stable Diffusion 3": {"transformer": 2243}, "FLUX.2 klein base": {"transformer": 3876},
    "Z-Image": {"transformer": 6155}, "DeepFloyd IF": {"unet": 4305}, EDIT.name: {"unet": 860},
    THREE_WAY.name: {"unet": 860}, CONTROLLED.name: {"unet": 860, "control": 361},
}  # fmt: skip
"""Parameters of networks, as their authors publish them, and MVDream's as Stable Diffusion 2.1's with its cameras."""
each_prior = pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: prior.name)


def row_of(prior, registry, folder):
    return priors.checked(prior, registry, folder, FOUND, CPU, tiny=True, steps=1)


@each_prior
def test_a_step_of_each_prior_is_measured(registry, tmp_path, prior):
    row = row_of(prior, registry, tmp_path)
    assert "error" not in row, row["error"]
    assert row["finite"] and row["s_per_step"] > 0.0 and row["peak_bytes"] is None
    assert row["prior"] == prior.name and set(row["networks"]) - {"image_prompt"} == set(prior.parts)
    assert ("image_prompt" in row["networks"]) == (prior is IMAGEDREAM)
    assert row["network_bytes"] == sum(row["networks"].values()) > 1000


def test_every_family_of_the_guidances_is_checked():
    assert {family.pipeline for family in FAMILIES} == set(PIPELINES)


def test_pictures_are_edited_in_each_step_by_the_guidance_alone_and_never_by_a_score(registry, tmp_path):
    counts = {}
    for prior in (EDIT, THREE_WAY):
        _, loop, _ = loop_of(prior, registry, tmp_path / prior.name, FOUND, CPU, tiny=True)
        loop.run(2, [])
        counts[prior.name] = int(loop.system.state_dict()["guided.edit.edits"].sum())
    assert counts == {EDIT.name: 2, THREE_WAY.name: 0}


def test_a_controlnet_is_shown_normals_at_the_recipes_scale(registry, tmp_path):
    _, loop, made = loop_of(CONTROLLED, registry, tmp_path, FOUND, CPU, tiny=True)
    (control,) = loop.system.tasks[0].guidance.denoiser.controls.controls
    assert control.config.map == "normal" and control.config.scale.start == 1.5 and made["control"] > 0


@pytest.mark.parametrize("prior", [EDIT, CONTROLLED, IMAGEDREAM], ids=lambda prior: prior.name)
def test_recipes_in_full_size_name_the_random_models_alone(registry, tmp_path, prior):
    recipe = priors.prior_recipe(prior, registry, tmp_path, FOUND, tiny=False)
    named = [task.guidance for task in recipe.stages[0].tasks if task.guidance is not None]
    assert [part.model for part in named] == [str(tmp_path)]
    controls = [one.model for one in getattr(named[0].config, "controls", ())]
    assert controls == ([str(tmp_path / "control")] if prior is CONTROLLED else [])


def test_a_family_that_fails_is_told_and_leaves_the_guidance_as_it_was(registry, tmp_path, monkeypatch):
    kept = [
        (networks, "load_part"), (denoiser, "load_network"), (photo_tokens, "load_image_encoder"),
        (DiffusionPrior, "encode_text"), (InstructPix2Pix, "encode_text"),
    ]  # fmt: skip
    before = [getattr(owner, name) for owner, name in kept]
    monkeypatch.setattr(priors, "measured", lambda *_: 1 / 0)
    row = row_of(SDXL, registry, tmp_path)
    assert row["error"] == "ZeroDivisionError: division by zero" and "s_per_step" not in row
    assert [getattr(owner, name) for owner, name in kept] == before


@each_prior
def test_networks_have_their_published_size(tmp_path, prior):
    import diffusers
    import transformers

    folder = prior.write(tmp_path, tiny=False)
    for part, millions in MILLIONS[prior.name].items():
        settings = json.loads((folder / part / "config.json").read_text())
        with torch.device("meta"):
            network = (
                transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**settings))
                if part == "image_encoder"
                else getattr(diffusers, settings["_class_name"]).from_config(settings)
            )
        assert round(sum(value.numel() for value in network.parameters()) / 1e6) == millions


@each_prior
def test_random_networks_have_the_data_type_of_the_family_and_no_gradient(tmp_path, prior):
    folder = prior.write(tmp_path, tiny=True)
    half = torch.float16 if prior in LATENT_MODELS else getattr(torch, PIPELINES[prior.pipeline].half)
    for part, kind in prior.parts.items():
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
    folder = MVDREAM.write(tmp_path, tiny=False)
    assert json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())["model_max_length"] == 77
