"""Tests of the validation of `stable-diffusion` options."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

from bozzetto.config.loading import load_recipe
from bozzetto.errors import ModelError
from bozzetto.math import score, timesteps
from bozzetto.math.schedules import Schedule
from bozzetto.registry.discovery import Registry
from bozzetto_plugins.guidance import config as module
from bozzetto_plugins.guidance.config import StableDiffusionConfig

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": " "}, "model: must name"),
        ({"cfg_scale": Schedule.constant(-1.0)}, "cfg_scale: must lie in"),
        ({"min_step_fraction": Schedule.constant(-0.1)}, "min_step_fraction: must lie in"),
        ({"max_step_fraction": Schedule(0.98, 1.5, 0, 10)}, "max_step_fraction: must lie in"),
        ({"max_step_fraction": Schedule.constant(0.01)}, "min_step_fraction: must not exceed max_step_fraction"),
        (
            {"min_step_fraction": Schedule(0.5, 0.1, 500, 600), "max_step_fraction": Schedule(0.9, 0.2, 0, 100)},
            "must not exceed max_step_fraction, got 0.5 and 0.4[0-9]* at step",
        ),
        ({"cfg_rescale": 1.1}, "cfg_rescale: must lie in"),
        ({"grad_clip": Schedule.constant(0.0)}, "grad_clip: must lie in"),
        ({"as_latent_until_step": -1}, "as_latent_until_step: must lie in"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        StableDiffusionConfig(**values)
    assert str(caught.value).partition(":")[0] in {field.name for field in dataclasses.fields(StableDiffusionConfig)}


def test_choices_are_those_of_the_formulas() -> None:
    types = typing.get_type_hints(StableDiffusionConfig, vars(module))
    assert typing.get_args(types["sds_form"]) == typing.get_args(score.SdsForm)
    assert typing.get_args(types["grad_clip_by"]) == typing.get_args(score.ClipBy)
    assert typing.get_args(types["weighting"]) == typing.get_args(timesteps.Weighting)


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; import bozzetto_plugins.guidance.manifest as g, bozzetto_plugins.prompt_processor.manifest as p; "
        "import bozzetto_plugins.guidance.config, bozzetto_plugins.prompt_processor.config; "
        "from bozzetto.spec import load; "
        "[load(s.config) for m in (g, p) for s in m.bozzetto_components()]; "
        "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_scene_of_other_latents_than_the_model_has_is_told_before_it_trains(
    registry: Registry, tiny_folder: Callable[..., Path]
) -> None:
    (stage, _) = load_recipe(CONFIGS / "latent-nerf.yaml", registry, profile="cpu").stages
    with pytest.raises(ModelError, match="^model: sd-1.5 has 4 latent channels, .* in 48. Set .*feature_count=4"):
        StableDiffusionConfig().require_scene(tiny_folder(), stage)
    (stage, _) = load_recipe(CONFIGS / "latent-nerf.yaml", registry, profile="cuda").stages
    StableDiffusionConfig().require_scene(tiny_folder(), stage)


@pytest.mark.parametrize(
    ("part", "settings", "told"),
    [
        (
            "unet",
            {"_class_name": "os.system"},
            "unet/config.json is of class 'os.system', not UNet2DConditionModel or ",
        ),
        (
            "text_encoder",
            {"architectures": ["T5EncoderModel"]},
            "text_encoder/config.json is of class 'T5EncoderModel'",
        ),
    ],
)
def test_another_kind_of_model_is_told_by_its_classes(
    tiny_folder: Callable[..., Path], tmp_path: Path, part: str, settings: dict[str, object], told: str
) -> None:
    folder = Path(shutil.copytree(tiny_folder(), tmp_path / "model"))
    StableDiffusionConfig().require_weights(folder)
    (folder / part / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=f"^model: .*{told}"):
        StableDiffusionConfig().require_weights(folder)
