"""Scenes of latents (Latent-NeRF, SJC), signed distance fields (TextMesh) and DeepFloyd IF become their equals here."""

from __future__ import annotations

import math

import pytest

from bozzetto.config.loading import load_recipe
from bozzetto_convert.recipe_yaml import to_yaml
from bozzetto_convert.stages import as_stages
from bozzetto_convert.translate import translate

TASK = "system.tasks.random"
LATENT = {
    "geometry": {"n_feature_dims": 4},
    "material": {"n_output_dims": 4, "color_activation": "none"},
    "background_type": "neural-environment-map-background",
    "background": {"n_output_dims": 4, "color_activation": "none"},
}  # fmt: skip
REFINED = {"geometry": {"n_feature_dims": 4}, "material_type": "sd-latent-adapter-material", "weights": "last.ckpt"}
DISTANCES = {
    "geometry_type": "implicit-sdf", "geometry": {"radius": 2.0, "sdf_bias": "sphere", "sdf_bias_params": 0.6},
    "renderer_type": "neus-volume-renderer", "loss": {"lambda_sds": 1.0, "lambda_eikonal": 10.0},
}  # fmt: skip
FLOYD = {"guidance_type": "deep-floyd-guidance", "prompt_processor_type": "deep-floyd-prompt-processor"}


def draft_of(theirs, registry, **system):
    return translate(theirs.source(theirs.minimal(**system)), registry)


def values_of(draft):
    return {path: line.value for path, line in draft.lines.items()}


def loaded(draft, registry, folder, profile):
    path = folder / "ours.yaml"
    path.write_text(to_yaml(draft), encoding="utf-8")
    return load_recipe(path, registry, profile=profile)


def test_four_channels_that_are_rendered_as_they_are_are_latents(theirs, registry, tmp_path):
    draft = draft_of(theirs, registry, **LATENT)
    assert values_of(draft)["system.material.type"] == "latent" and not draft.of("lost")
    (told,) = [note for note in draft.of("changed") if "background" in note.key]
    assert told.name == "system.background.n_output_dims" and "turns into latents" in told.why
    for profile, features, codec, side in (("cuda", 4, "stable-diffusion", 64), ("cpu", 48, "pixels", 32)):
        (stage,) = loaded(draft, registry, tmp_path, profile).stages
        assert (stage.geometry.config.feature_count, stage.material.config.codec) == (features, codec)
        assert stage.material.config.space == "latent" and stage.tasks[0].views.config.height == side


@pytest.mark.parametrize(
    "changes", [{"geometry": {"n_feature_dims": 8}}, {"material": {"n_output_dims": 4, "color_activation": "tanh"}}]
)
def test_what_is_rendered_otherwise_is_lost(theirs, registry, changes):
    """Eight features and no network; latents that go through a function."""
    draft = draft_of(theirs, registry, **(LATENT | changes))
    lost = {note.name for note in draft.of("lost")}
    assert lost & {"system.material.n_output_dims", "system.material.color_activation"}


def test_the_refinement_of_latents_is_a_stage_in_colours(theirs, registry, tmp_path):
    first, second = (draft_of(theirs, registry, **system) for system in (LATENT, REFINED))
    assert [note.name for note in second.of("lost")] == ["system.weights"]
    draft = as_stages([first, second])
    assert not draft.of("lost")
    for profile, height in (("cuda", 64), ("cpu", 64)):
        stages = loaded(draft, registry, tmp_path, profile).stages
        assert [stage.material.config.space for stage in stages] == ["latent", "rgb"]
        assert stages[1].inherit == ("geometry",) and stages[1].tasks[0].views.config.height == height
        assert stages[0].geometry.config == stages[1].geometry.config


def test_colours_of_latents_need_four_features(theirs, registry, tmp_path):
    draft = draft_of(theirs, registry, **(REFINED | {"geometry": {}}))
    assert values_of(draft)["system.material.type"] == "no-material"
    assert any(note.key.startswith("system.material_type") for note in draft.of("lost"))


def test_volsdf_is_a_field_of_distances_in_a_volume(theirs, registry, tmp_path):
    draft = draft_of(theirs, registry, **DISTANCES, renderer={"use_volsdf": True, "learned_variance_init": 0.2})
    values = values_of(draft)
    assert values["system.geometry.type"] == "sdf-grid" and values["system.renderer.type"] == "volume"
    assert values["system.geometry.sphere_radius"] == 0.6 and values["system.geometry.least_beta"] == 1.0 / 80.0
    assert values["system.geometry.beta"] == pytest.approx(math.exp(-2.0))
    assert values[f"{TASK}.losses.eikonal"] == 10.0 and not draft.of("lost") and not draft.stand_ins
    for profile in ("cuda", "cpu"):
        (stage,) = loaded(draft, registry, tmp_path, profile).stages
        assert stage.geometry.name == "sdf-grid"


def test_of_neus_the_volume_stands_in_and_the_field_is_kept(theirs, registry):
    draft = draft_of(theirs, registry, **DISTANCES)
    values = values_of(draft)
    assert values["system.geometry.type"] == "sdf-grid" and values[f"{TASK}.losses.eikonal"] == 10.0
    assert "system.geometry.beta" not in values
    (said,) = draft.stand_ins
    assert said.startswith("system.renderer_type neus-volume-renderer: there is no renderer 'neus'")


def test_shapes_other_than_a_sphere_are_lost_and_a_rasterized_field_is_a_surface(theirs, registry):
    other = {"geometry": {"sdf_bias": "ellipsoid", "sdf_bias_params": [0.5, 0.6, 0.7]}}
    draft = draft_of(theirs, registry, **(DISTANCES | other))
    lost = {note.name for note in draft.of("lost")}
    assert {"system.geometry.sdf_bias", "system.geometry.sdf_bias_params"} <= lost
    surface = draft_of(theirs, registry, **(DISTANCES | {"renderer_type": "nvdiff-rasterizer", "geometry": {}}))
    assert values_of(surface)["system.geometry.type"] == "dmtet"


def test_deepfloyd_is_a_prior_of_pixels_with_sds_as_its_score(theirs, registry, tmp_path):
    guidance = {
        "pretrained_model_name_or_path": "DeepFloyd/IF-I-XL-v1.0", "guidance_scale": 20.0, "weighting_strategy": "uniform",
        "max_step_percent": 0.9, "grad_clip": 2.0, "half_precision_weights": False,
    }  # fmt: skip
    draft = draft_of(theirs, registry, **FLOYD, guidance=guidance)
    assert not draft.of("lost") and not draft.stand_ins
    (task,) = loaded(draft, registry, tmp_path, "cuda").stages[0].tasks
    assert task.guidance.name == "diffusion-prior" and task.guidance.model == "deepfloyd-if"
    assert task.guidance.config.dtype == "float32"
    score = task.score.config
    assert (score.guider.scale.start, score.weighting, score.grad_clip.start) == (21.0, "uniform", 2.0)
    assert score.timesteps.max.start == 0.9
    assert [(term.name, term.weight.start) for term in task.terms] == [("score", 1.0)]
    (task,) = loaded(draft, registry, tmp_path, "cpu").stages[0].tasks
    assert task.guidance.name == "stable-diffusion" and task.guidance.model == "bozzetto-mini"
    assert task.score.config.guider.scale.start == 1.0
