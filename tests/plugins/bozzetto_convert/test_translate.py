"""Tests of whole recipes: the result, the report, and that no key is dropped silently."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
import yaml

from bozzetto.config.binding import REQUIRED
from bozzetto.config.loading import load_recipe
from bozzetto.registry.discovery import Registry
from bozzetto.spec import ComponentSpec, Entry
from bozzetto_convert.component_choice import field_of
from bozzetto_convert.recipe_yaml import summary, to_yaml
from bozzetto_convert.rules import UNSET
from bozzetto_convert.run_parts import BLOCKS, PARTS, SLOTS
from bozzetto_convert.stages import as_stages
from bozzetto_convert.threestudio_recipe import Source, read
from bozzetto_convert.translate import PLAIN, TOP, translate
from bozzetto_convert.values import is_zero
from bozzetto_plugins.score.axes import ReferenceConfig

RECIPES = sorted((Path(__file__).parent / "threestudio").glob("*.yaml"))
LIST = "system.tasks.random"
HANDLED_AS_ONE = ("system_type", "system.optimizer.args", "system.optimizer.params", "system.scheduler")


def values_of(draft):
    return {path: line.value for path, line in draft.lines.items()}


def loaded(draft, registry, tmp_path):
    path = tmp_path / "converted.yaml"
    path.write_text(to_yaml(draft), encoding="utf-8")
    given = [f"{key}=something" for key, line in draft.lines.items() if line.value == REQUIRED]
    return load_recipe(path, registry, given)


def without(registry, *components):
    """Return the registry without some components."""
    kept = {key: entries for key, entries in registry.entries.items() if key not in components}
    return Registry(registry.manager, kept)


def with_component(registry, kind, name, config, **spec):
    target = "bozzetto_plugins.guidance.stable_diffusion:StableDiffusion"
    entry = Entry("bozzetto", "1", ComponentSpec(kind, name, target, config, "for a test", **spec))
    return Registry(registry.manager, {**registry.entries, (kind, name): [entry]})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_result_loads(path, registry, tmp_path):
    assert loaded(translate(read(path), registry), registry, tmp_path).stages[0].trainer.steps > 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_key_vanishes_without_a_word(path, registry):
    source = read(path)
    draft = translate(source, registry)
    said = {note.key.split(" = ")[0] for note in draft.notes}
    said |= {word.rstrip(":") for line in draft.lines.values() for word in line.comment.split()}
    rules = {}
    bases = {"system": "system"} | {slot.name: slot.base for slot in SLOTS}
    types = {"system": "system_type"} | {slot.name: slot.type_key for slot in SLOTS}
    used = [part for part in PARTS if source.get(types[part.slot]) == part.type]
    for base, keys in [*BLOCKS, *((bases[part.slot], part.keys) for part in used)]:
        rules |= {f"{base}.{key.name}": key for key in keys}
    for leaf in source.leaves():
        parts, rule, value = leaf.split("."), rules.get(leaf), source.get(leaf)
        told = any(".".join(parts[:count]) in said for count in range(1, len(parts) + 1))
        harmless = rule is not None and (value == rule.default or rule.how is not None or not value)
        at_zero = leaf.startswith("system.loss.") and is_zero(value)
        assert told or harmless or at_zero or leaf.startswith(HANDLED_AS_ONE), leaf


def test_dreamfusion_to_the_letter(registry):
    path = next(path for path in RECIPES if path.stem == "dreamfusion")
    values = values_of(translate(read(path), registry))
    expected = {
        "prompt": "a hamburger",
        "negative_prompt": "ugly",
        "seed": 3,
        "system.geometry.type": "hash-grid",
        "system.geometry.density_activation": "exp",
        "system.geometry.density_bias": "blob-dreamfusion",
        "system.geometry.finite_difference_samples": 6,
        "system.geometry.finest_resolution": 4096,
        "system.geometry.levels_active": {"from": 8, "to": 16, "start_step": 2000, "until_step": 6000},
        "system.material.type": "point-light-diffuse",
        "system.material.light_sampling": "magic3d",
        "system.background.random_probability": 0.4,
        "system.renderer.occupancy_threshold": 0.0,
        "system.prompt_processor.front_deg": 60.0,
        "system.prompt_processor.template": "{view} view of {prompt}",
        "system.prompt_processor.negatives": True,
        f"{LIST}.guidance.guider": "perp-neg",
        f"{LIST}.guidance.cfg_scale": 100.0,
        f"{LIST}.guidance.model": "sd-2.1-base",
        f"{LIST}.guidance.cpu_offload": "sequential",
        f"{LIST}.guidance.dtype": "float32",
        f"{LIST}.guidance.max_step_fraction": {"from": 0.98, "to": 0.5, "start_step": 5000, "until_step": 5001},
        f"{LIST}.views.batch_size": [8, 4],
        f"{LIST}.views.fov_y_deg": [45.0, 45.0],
        f"{LIST}.losses.orientation": {"from": 10.0, "to": 1000.0, "until_step": 5000},
        f"{LIST}.losses.normal-smoothness-2d": 1.0,
        "system.optimizer.type": "adamw",
        "system.optimizer.weight_decay": 0.01,
        "system.optimizer.lr_of/geometry.encoding": {
            "from": 0.1,
            "to": 0.01,
            "until_step": 10000,
            "curve": "exponential",
        },
        "trainer.steps": 10000,
        "trainer.debug_every": 500,
        "trainer.checkpoint_every": 2500,
        "export.mesh.resolution": 96,
        "export.turntable.frames": 60,
    }
    assert {key: values.get(key) for key in expected} == expected


def test_their_defaults_are_written_out_where_ours_differ(theirs, registry):
    values = values_of(translate(theirs.source(theirs.minimal()), registry))
    assert values[f"{LIST}.views.position_jitter"] == 0.1
    assert values[f"{LIST}.views.distance"] == [1, 1.5]
    assert values["system.geometry.normal"] == "finite-difference"
    assert values["system.renderer.occupancy_resolution"] == 32
    assert f"{LIST}.views.height" not in values  # 64 in both


@pytest.mark.parametrize("part", [part for part in PARTS if part.keys], ids=lambda part: f"{part.slot}-{part.type}")
def test_their_defaults_written_out_change_nothing_and_lose_nothing(part, theirs, registry, tmp_path):
    """Except for defaults that refer to missing resources: weights, a model, an image."""
    base = next((slot for slot in SLOTS if slot.name == part.slot), None)
    values = theirs.minimal()
    place = base.base if base else "system"
    values |= {"system_type": part.type} if base is None else {}
    if base:
        values = nest(values, base.type_key, part.type)
    bare = translate(theirs.source(values), registry)
    for key in part.keys:
        if key.default is not UNSET and "pretrained_model" not in key.name:
            values = nest(values, f"{place}.{key.name}", key.default)
    draft = translate(theirs.source(values), registry)
    assert draft.of("lost") == bare.of("lost")
    assert loaded(draft, registry, tmp_path)


def nest(values, path, value):
    head, _, rest = path.partition(".")
    below = values.get(head)
    return {**values, head: nest(below if isinstance(below, dict) else {}, rest, value) if rest else value}


def test_every_target_is_a_field_of_something_here(registry):
    """A field that is renamed must be renamed in the rules. Only targets that do not exist yet may be guessed."""
    kinds = {slot.name: slot.kind for slot in SLOTS}
    schemas = {
        slot: [registry.config_type(kind, name) for name in registry.names(kind)] for slot, kind in kinds.items()
    }
    schemas |= {name: [schema] for name, (schema, _) in PLAIN.items()}

    adapts = "adapter" in typing.get_args(typing.get_type_hints(ReferenceConfig)["type"])

    def exists(target):
        slot, _, dotted = target.partition(".")
        if target.startswith("score.reference.") and not adapts:
            return True  # a score without adapters has none of their fields
        return dotted in TOP if slot == "top" else any(field_of(schema, dotted) for schema in schemas[slot])

    for part in PARTS:
        here = part.slot not in kinds or any(name in registry.names(kinds[part.slot]) for name in part.ours)
        for key in part.keys if here else ():
            assert not key.to or any(map(exists, key.to)), f"{part.type}.{key.name} goes to {key.to}: nothing has it"


def test_what_is_not_here_is_said_and_stood_in_for(registry, tmp_path):
    lacking = without(registry, ("geometry", "dmtet"), ("renderer", "mesh"))
    path = next(path for path in RECIPES if path.stem == "magic3d-refine")
    draft = translate(read(path), lacking)
    lost = "\n".join(map(str, draft.of("lost")))
    assert "system.geometry_type tetrahedra-sdf-grid: there is no geometry 'dmtet' here; 'hash-grid' stands in" in lost
    assert "system.renderer_type nvdiff-rasterizer: there is no renderer 'mesh' here; 'volume' stands in" in lost
    assert "lambda_normal_consistency" in lost
    assert loaded(draft, lacking, tmp_path).stages[0].geometry.name == "hash-grid"


def test_a_renderer_that_is_here_is_not_used_with_a_geometry_it_cannot_draw(registry):
    path = next(path for path in RECIPES if path.stem == "magic3d-refine")
    draft = translate(read(path), without(registry, ("geometry", "dmtet"), ("geometry", "mesh")))
    assert values_of(draft)["system.renderer.type"] == "volume"
    assert "the renderer 'mesh' does not fit the rest" in "\n".join(map(str, draft.of("lost")))


def test_a_part_that_appears_is_used_without_a_change_here(registry):
    path = next(path for path in RECIPES if path.stem == "zero123")
    config = "bozzetto_plugins.guidance.config:StableDiffusionConfig"
    later = with_component(registry, "guidance", "zero123", config, provides=frozenset({"sds"}))
    draft = translate(read(path), later)
    assert values_of(draft)[f"{LIST}.guidance.type"] == "zero123"
    assert values_of(draft)[f"{LIST}.guidance.cfg_scale"] == 3.0
    assert not any(note.key.startswith("system.guidance_type") for note in draft.notes)


def test_a_type_of_an_extension_is_looked_for_by_its_name(theirs, registry):
    values = theirs.minimal(guidance_type="my-prior-guidance", guidance={"cfg_scale": 5, "secret": 1})
    config = "bozzetto_plugins.guidance.config:StableDiffusionConfig"
    later = with_component(registry, "guidance", "my-prior", config, provides=frozenset({"sds"}))
    draft = translate(theirs.source(values), later)
    assert values_of(draft)[f"{LIST}.guidance.type"] == "my-prior"
    assert values_of(draft)[f"{LIST}.guidance.cfg_scale"] == 5
    assert any(note.key == "system.guidance.secret = 1" for note in draft.of("lost"))


def test_a_value_that_our_checks_refuse_is_left_out_and_said(theirs, registry, tmp_path):
    values = theirs.minimal(geometry={"radius": -1.0, "density_bias": 0.5, "pos_encoding_config": {"n_levels": "many"}})
    draft = translate(theirs.source(values), registry)
    lost = "\n".join(map(str, draft.of("lost")))
    assert "system.geometry.radius: must lie in" in lost
    assert "system.geometry.density_bias: the density bias 0.5 does not exist here" in lost
    assert "system.geometry.pos_encoding_config.n_levels" in lost
    assert loaded(draft, registry, tmp_path)


def test_schedulers(theirs, registry):
    def lr(**scheduler):
        optimizer = {"name": "Adam", "args": {"lr": 0.01}}
        draft = translate(theirs.source(theirs.minimal(optimizer=optimizer, scheduler=scheduler)), registry)
        return values_of(draft)["system.optimizer.lr"], [n for n in draft.notes if n.key == "system.scheduler"]

    step = {"interval": "step"}
    end = {"from": 0.01, "to": 0.001, "until_step": 100, "curve": "exponential"}
    assert lr(name="ExponentialLR", args={"gamma": 0.1**0.01}, **step) == (end, [])
    cosine = {"from": 0.01, "to": 0.0, "until_step": 50, "curve": "cosine"}
    assert lr(name="CosineAnnealingLR", args={"T_max": 50}, **step) == (cosine, [])
    value, notes = lr(name="ExponentialLR", args={"gamma": 0.9})
    assert value == 0.01 and "epochs" in notes[0].why
    value, notes = lr(name="StepLR", args={"step_size": 10}, **step)
    assert value == 0.01 and "StepLR is not linear" in notes[0].why


def test_fantasia3d_shows_normals_and_starts_in_latents(registry):
    path = next(path for path in RECIPES if path.stem == "fantasia3d")
    values = values_of(translate(read(path), registry))
    assert values["system.material.type"] == "plane-light-diffuse"
    assert values["system.material.normal_until_step"] == 10000
    assert values[f"{LIST}.guidance.as_latent_until_step"] == 1000


def test_two_recipes_become_stages(registry, tmp_path):
    paths = [path for path in RECIPES if path.stem.startswith("magic3d")]
    draft = as_stages([translate(read(path), registry) for path in paths])
    recipe = loaded(draft, registry, tmp_path)
    assert [stage.name for stage in recipe.stages] == ["magic3d-coarse", "magic3d-refine"]
    assert [stage.inherit for stage in recipe.stages] == [(), ("geometry",)]
    assert [stage.geometry.name for stage in recipe.stages] == ["hash-grid", "dmtet"]
    assert not any("geometry_convert_from" in note.key for note in draft.notes)


def test_a_stage_that_cannot_start_from_the_one_before_starts_anew_and_says_so(theirs, registry, tmp_path):
    surface = {"geometry_type": "tetrahedra-sdf-grid", "renderer_type": "nvdiff-rasterizer"}
    wider = {"geometry": {"mlp_network_config": {"n_neurons": 32, "n_hidden_layers": 1}}}
    drafts = [translate(theirs.source(theirs.minimal(**system)), registry) for system in ({}, surface, {}, {}, wider)]
    draft = as_stages(drafts)
    recipe = loaded(draft, registry, tmp_path)
    assert [stage.inherit for stage in recipe.stages] == [(), ("geometry",), (), ("geometry",), ()]
    told = [note for note in draft.of("lost") if note.key.endswith("geometry_convert_from")]
    assert "its geometry's type is 'hash-grid', that of the stage before 'dmtet'" in told[0].why
    assert "its geometry's hidden_width is 32, that of the stage before None" in told[1].why


def test_the_report_is_in_the_file_and_on_the_terminal(registry):
    path = next(path for path in RECIPES if path.stem == "latentnerf")
    draft = translate(read(path), registry)
    text, lines = to_yaml(draft), "\n".join(summary(draft))
    for heading in ("Not translated:", "Translated with a difference:", "Not needed here"):
        assert f"# {heading}" in text and heading in lines
    assert "no shape guides the geometry" in text and "no shape guides the geometry" in lines
    assert yaml.safe_load(text)["system"]["geometry"]["type"] == "hash-grid"


@pytest.mark.parametrize(
    ("geometry", "rates", "placed"),
    [
        ({"fix_geometry": True}, {"geometry.encoding": 0.01}, {"geometry.features.encoding"}),
        ({}, {"geometry.encoding": 0.01, "geometry.feature_network": 0.02, "geometry.sdf": 0.03},
         {"geometry.features.encoding", "geometry.features.feature_network", "geometry.sdf"}),
        ({"fix_geometry": True}, {"geometry.sdf": 0.01}, set()),
    ],
)  # fmt: skip
def test_learning_rates_land_on_parameters_that_are_there(registry, tmp_path, geometry, rates, placed):
    theirs = {
        "system": {
            "geometry_type": "tetrahedra-sdf-grid",
            "geometry": {"isosurface_resolution": 8, **geometry},
            "material_type": "no-material",
            "background_type": "solid-color-background",
            "renderer_type": "nvdiff-rasterizer",
            "guidance_type": "stable-diffusion-guidance",
            "loss": {"lambda_sds": 1.0},
            "optimizer": {"name": "Adam", "params": {name: {"lr": lr} for name, lr in rates.items()}},
        },
        "trainer": {"max_steps": 10},
    }
    draft = translate(Source("theirs.yaml", theirs, {}), registry)
    prefix = "system.optimizer.lr_of/"
    assert {path.removeprefix(prefix) for path in draft.lines if path.startswith(prefix)} == placed
    assert placed or any("parameters of that name" in note.why for note in draft.notes)
