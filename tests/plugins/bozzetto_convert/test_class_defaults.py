"""Defaults of threestudio for missing keys, against the values read from its classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bozzetto.config.binding import REQUIRED
from bozzetto.config.loading import load_recipe
from bozzetto_convert.rules import UNSET
from bozzetto_convert.run_parts import PARTS
from bozzetto_convert.translate import translate

FACTS = yaml.safe_load((Path(__file__).parent / "class_defaults.yaml").read_text(encoding="utf-8"))
GUIDANCE = "system.tasks.random.guidance"


@pytest.mark.parametrize(
    "part", [part for part in PARTS if part.type in FACTS], ids=lambda part: f"{part.slot}-{part.type}"
)
def test_every_rule_has_the_default_of_its_class(part):
    facts = FACTS[part.type] | {
        f"random_camera.{name}": value for name, value in FACTS["random-camera-datamodule"].items()
    }
    rules = [key for key in part.keys if key.name in facts]
    assert rules or not part.keys
    for key in rules:
        if key.default is not UNSET:
            assert key.default == facts[key.name], key.name
        else:
            assert key.idle or not (key.to or key.how), f"{key.name} has no default, theirs is {facts[key.name]!r}"


def values_of(theirs, registry, **system):
    return {
        path: line.value for path, line in translate(theirs.source(theirs.minimal(**system)), registry).lines.items()
    }


@pytest.mark.parametrize(
    ("kind", "steps"), [("stable-diffusion-guidance", 25000), ("stable-diffusion-unified-guidance", 25000)]
)
def test_annealing_ends_where_the_class_says(theirs, registry, kind, steps):
    values = values_of(theirs, registry, guidance_type=kind, guidance={"sqrt_anneal": True})
    expected = {"from": 0.98, "to": 0.02, "until_step": steps, "curve": "sqrt"}
    score = GUIDANCE.replace("guidance", "score")
    assert values[f"{score}.timesteps.type"] == "point" and values[f"{score}.timesteps.at"] == expected


def test_a_random_background_takes_the_probability_of_the_class(theirs, registry):
    background = {"background_type": "neural-environment-map-background", "background": {"random_aug": True}}
    assert values_of(theirs, registry, **background)["system.background.random_probability"] == 0.5


def test_a_mapping_that_is_given_has_the_defaults_of_its_library_not_of_the_class(theirs, registry):
    """threestudio replaces the whole mapping, so that tiny-cuda-nn's per-level scale of 2 replaces 1.447."""
    silent = values_of(theirs, registry)
    assert silent["system.geometry.finest_resolution"] == 4096
    given = values_of(theirs, registry, geometry={"pos_encoding_config": {"otype": "HashGrid", "n_levels": 10}})
    assert given["system.geometry.finest_resolution"] == 16 * 2**9


def test_a_recipe_of_no_step_says_so(theirs, registry):
    draft = translate(theirs.source({**theirs.minimal(), "trainer": {"max_steps": 0}}), registry)
    assert "trainer.steps" not in draft.lines
    assert any("trainer.max_steps: must lie in [1," in str(note) for note in draft.of("lost"))


def magic123(theirs, **changes):
    values = theirs.minimal(
        guidance_3d_type="zero123-unified-guidance",
        guidance_3d={"guidance_type": "sds", "min_step_percent": 0.2, "guidance_scale": 4.0},
        guidance_type="stable-diffusion-unified-guidance",
        loss={"lambda_rgb": 1000.0, "lambda_sd": 0.025, "lambda_3d_sd": 2.0, **changes},
    )
    data = {"image_path": "chair.png", "random_camera": {"camera_distance_range": [2.5, 2.5]}}
    return theirs.source(
        {**values, "system_type": "magic123-system", "data_type": "single-image-datamodule", "data": data}
    )


def test_the_second_prior_of_magic123_is_a_task_with_our_zero123(theirs, registry):
    draft = translate(magic123(theirs), registry)
    values = {path: line.value for path, line in draft.lines.items()}
    pose = "system.tasks.pose"
    expected = {
        f"{pose}.guidance.type": "zero123", f"{pose}.guidance.model": "zero123", f"{pose}.guidance.cfg_scale": 4.0,
        f"{pose}.guidance.max_step_fraction": 0.98, f"{pose}.losses.sds": 2.0, f"{pose}.views.distance": [2.5, 2.5],
        f"{GUIDANCE}.type": "stable-diffusion", "system.tasks.random.losses.sds": 0.025,
        "profiles.cpu.system.tasks.pose.guidance.model": "bozzetto-mini-zero123",
    }  # fmt: skip
    assert {path: values.get(path) for path in expected} == expected
    assert not draft.stand_ins and not [note for note in draft.of("lost") if "guidance_3d" in note.key]
    (told,) = [note for note in draft.of("changed") if note.key == "system.guidance_3d_type"]
    assert "a task of its own, pose: Zero123 here, with the weights 'zero123'" in told.why


def test_a_weight_of_0_stays_0(theirs, registry):
    values = {path: line.value for path, line in translate(magic123(theirs, lambda_3d_sd=0.0), registry).lines.items()}
    assert values["system.tasks.pose.losses.sds"] == 0.0 and values["system.tasks.random.losses.sds"] == 0.025


def test_profiles_hold_only_what_differs_and_fields_that_are_there(theirs, registry):
    values = values_of(theirs, registry)
    cpu = {
        path.removeprefix("profiles.cpu."): value for path, value in values.items() if path.startswith("profiles.cpu.")
    }
    assert cpu["device"] == "cpu" and values["profiles.cuda.device"] == "cuda"
    assert cpu[f"{GUIDANCE}.model"] == "bozzetto-mini" and cpu["system.geometry.levels"] == 6
    assert "system.geometry.resolution" not in cpu and "system.tasks.random.views.height" not in cpu  # 64 already
    assert "trainer.steps" not in cpu and REQUIRED not in cpu.values()  # 100 steps are few enough


def test_profiles_of_stages_stand_below_the_stages(theirs, registry, tmp_path):
    """Values of a stage override the recipe's `system` in every profile."""
    from bozzetto_convert.recipe_yaml import to_yaml
    from bozzetto_convert.stages import as_stages

    drafts = [
        translate(theirs.source({**theirs.minimal(), "trainer": {"max_steps": 9000}}), registry) for _ in range(2)
    ]
    path = tmp_path / "ours.yaml"
    path.write_text(to_yaml(as_stages(drafts)), encoding="utf-8")
    for profile, model, steps in (("cpu", "bozzetto-mini", 800), ("cuda", "sd-1.5", 9000)):
        recipe = load_recipe(path, registry, profile=profile)
        assert [stage.tasks[0].guidance.model for stage in recipe.stages] == [model] * 2
        assert [stage.trainer.steps for stage in recipe.stages] == [steps] * 2
