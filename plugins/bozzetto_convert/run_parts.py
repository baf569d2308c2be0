"""Rules for threestudio's systems, trainer, checkpoints and exporter; the slots of a recipe; all rules by type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bozzetto_convert.camera_parts import DATA
from bozzetto_convert.geometry_parts import GEOMETRIES
from bozzetto_convert.guidance_parts import GUIDANCES, POSED
from bozzetto_convert.prompt_parts import PROMPT_PROCESSORS
from bozzetto_convert.rules import UNSET, Changed, Key, Lost, Part, Read, Slot, idle, lacking, lost, same
from bozzetto_convert.score_parts import SCORES
from bozzetto_convert.shading_parts import BACKGROUNDS, MATERIALS, RENDERERS
from bozzetto_convert.variational_parts import ADAPTER_OPTIMIZER

TASK = "system.tasks.random"

SLOTS = (
    Slot("geometry", "geometry", "system.geometry", "system.geometry_type", "system.geometry", "hash-grid"),
    Slot("renderer", "renderer", "system.renderer", "system.renderer_type", "system.renderer", "volume"),
    Slot("material", "material", "system.material", "system.material_type", "system.material", "no-material"),
    Slot(
        "background", "background", "system.background", "system.background_type", "system.background", "random-solid"
    ),
    Slot(
        "prompt_processor",
        "prompt-processor",
        "system.prompt_processor",
        "system.prompt_processor_type",
        "system.prompt_processor",
        "view-dependent",
    ),
    Slot("reference", "view-source", "data", "data_type", "system.tasks.reference.views", None),
    Slot("guidance", "guidance", "system.guidance", "system.guidance_type", f"{TASK}.guidance", "stable-diffusion"),
    Slot("score", "score", "system.guidance", "system.guidance_type", f"{TASK}.score", None),
    Slot("posed", "guidance", "system.guidance_3d", "system.guidance_3d_type", "system.tasks.pose.guidance", None),
    Slot("views", "view-source", "data", "data_type", f"{TASK}.views", "orbit"),
    Slot("mesh", "exporter", "system.exporter", "system.exporter_type", "export.mesh", None),
    Slot("turntable", "exporter", "", "", "export.turntable", None),
)
"""Slots in the order of choice: providers precede the parts that need them."""

FORMATS = {"obj-mtl": ["obj"], "obj": ["obj"]}


def _formats(value: Any, read: Read) -> Any:
    return FORMATS.get(value) or Lost(f"the format {value!r} does not exist here")


EXPORTERS = (
    Part(
        "mesh",
        "mesh-exporter",
        ("mesh",),
        (
            same("fmt", "obj-mtl", "mesh.formats", how=_formats, fill=False),
            same("texture_size", 1024, "mesh.texture_size", fill=False),
            idle("save_name", "files are named mesh.*"),
            idle("save_video", "the turntable is an export of its own"),
            lost("save_normal", False, "normals are not written"),
            lost("save_uv", True, "a mesh has UVs at all times"),
            lost("save_texture", True, "a mesh has a texture at all times"),
            idle("texture_format", "PNG"),
            idle("xatlas_chart_options", "charts are made with xatlas's defaults"),
            idle("xatlas_pack_options", "charts are packed with xatlas's defaults"),
            idle("context_type", "no OpenGL is needed"),
        ),
    ),
    Part("mesh", "dummy-exporter", (), note="exports nothing"),
)


def _inherit_features(value: Any, read: Read) -> Any:
    return value if read("system.geometry_convert_from") else UNSET


def _latent_steps(value: Any, read: Read) -> Any:
    return UNSET if read("system.texture") else value


def _normals_until(value: Any, read: Read) -> Any:
    return UNSET if value else read("trainer.max_steps")


def _normals_shown(value: Any, read: Read) -> Any:
    return UNSET if value else "normal"


def _ambient(value: Any, read: Read) -> Any:
    return Changed(UNSET, "here the material decides how bright ambient light is") if value != 0.5 else UNSET


STAGES = "give both recipes to `bozzetto convert`: they become stages of one, each starts from the one before"

LIFT: tuple[Key, ...] = (
    idle("loggers", "metrics go to CSV and TensorBoard"),
    idle("cleanup_after_validation_step", "memory is freed by itself"),
    idle("cleanup_after_test_step", "memory is freed by itself"),
    lost("weights", None, f"threestudio's weights cannot be read; {STAGES}"),
    idle("weights_ignore_modules", "belongs to weights"),
    lost("geometry_convert_from", None, STAGES),
    same("geometry_convert_inherit_texture", False, "geometry.inherit_features", how=_inherit_features),
    idle("geometry_convert_override", "belongs to geometry_convert_from"),
    idle("refinement", "losses say what they need"),
    same("freq.guidance_eval", 0, "trainer.debug_every"),
    lost("freq.ref_only_steps", 0, "tasks run from `start_step` on, in every n-th step: set `start_step`, `every`"),
    lost("freq.ref_or_zero123", "accumulate", "tasks run from `start_step` on, in every n-th step: set `every`"),
    idle("freq.n_ref", "belongs to ref_or_zero123"),
    Key("ambient_ratio_min", 0.5, how=_ambient, note="the material decides"),
)

EDITING = lacking("per_editing_step", "start_editing_step")
NOT_EDITED = "one task; images are not edited"
EDITS = (
    "it edits photos of a scene, which nothing here does; its guidance has the weight 0, so that the recipe makes "
    "nothing of the prompt until losses.sds has a weight"
)

SYSTEMS = (
    Part("system", "dreamfusion-system", (), LIFT, note="one task"),
    Part("system", "magic3d-system", (), LIFT, note="one task; coarse and refine are two stages"),
    Part(
        "system",
        "fantasia3d-system",
        (),
        (
            *LIFT,
            same("latent_steps", 1000, "guidance.as_latent_until_step", how=_latent_steps, note="in the first stage"),
            same("texture", False, "material.normal_until_step", how=_normals_until, note="normals are what is shown"),
            same("texture", False, "material.eval_mode", how=_normals_shown, note="normals are what is shown"),
        ),
        note="one task; geometry and texture are two stages",
    ),
    Part(
        "system",
        "latentnerf-system",
        (),
        (*LIFT, lost("guide_shape", None, "no shape guides the geometry")),
        note="one task; the material says whether images are latents",
    ),
    Part("system", "zero123-system", (), LIFT, note="two tasks: the reference view, and random views"),
    Part("system", "zero123-simple-system", (), LIFT, note="one task"),
    Part("system", "image-condition-dreamfusion-system", (), LIFT, note="two tasks: the reference view, random views"),
    Part(
        "system",
        "prolificdreamer-system",
        (),
        (
            *LIFT,
            idle("stage", "losses say what they need"),
            idle("visualize_samples", "see trainer.debug_every"),
        ),
        note="one task",
    ),
    Part("system", "textmesh-system", (), LIFT, note="one task"),
    Part("system", "sdi-system", (), (*LIFT, idle("convexity_res", "belongs to lambda_convex")), note="one task"),
    Part("system", "sjc-system", (), (*LIFT, idle("subpixel_rendering", "antialiased resizing")), note="one task"),
    Part(
        "system",
        "magic123-system",
        (),
        LIFT,
        note="three tasks: the reference view, random views with a prior of words, the same with a prior of poses",
    ),
    Part("system", "efficient-dreamfusion-system", (), LIFT, note="one task; every pixel is rendered"),
    Part("system", "instructnerf2nerf-system", (), (*LIFT, *EDITING), note=NOT_EDITED, missing=EDITS),
    Part("system", "control4d-multiview-system", (), (*LIFT, *EDITING), note=NOT_EDITED, missing=EDITS),
)

LENGTH: tuple[Key, ...] = (
    same("max_steps", UNSET, "trainer.steps"),
    same("log_every_n_steps", 1, "trainer.log_every", fill=False),
    same("val_check_interval", 200, "trainer.image_every", fill=False),
    idle("precision", "scenes are float32, the guidance chooses its own"),
    idle("num_sanity_val_steps", "`bozzetto check` does that"),
    idle("enable_progress_bar", "there is one"),
    idle("inference_mode", "Lightning's"),
    same("gradient_clip_val", None, "optimizer.clip_norm", how=lambda value, read: value or UNSET),
    lost("accumulate_grad_batches", 1, "one step, one update; raise views.batch_size"),
    lost("max_epochs", -1, "a run is counted in steps"),
    lost("devices", 1, "one device a run"),
    idle("limit_val_batches", "see trainer.image_views"),
    idle("limit_test_batches", "see export.turntable.frames"),
)


def _every(value: Any, read: Read) -> Any:
    return value or UNSET


CHECKPOINT: tuple[Key, ...] = (
    same("every_n_train_steps", 0, "trainer.checkpoint_every", how=_every, fill=False),
    idle("save_last", "the newest checkpoint is kept"),
    idle("save_top_k", "the newest checkpoint is kept"),
)

TOP: tuple[Key, ...] = (
    same("name", "default", "top.name", fill=False),
    same("description", "", "top.summary", how=lambda value, read: value or UNSET, fill=False),
    same("seed", 0, "top.seed"),
    same("exp_root_dir", "outputs", "top.output"),
    idle("tag", "run folders are named by recipe, prompt and time"),
    idle("use_timestamp", "run folders are numbered"),
    idle("timestamp", "run folders are numbered"),
    idle("trial_name", "run folders are named by themselves"),
    idle("trial_dir", "run folders are named by themselves"),
    idle("exp_dir", "run folders are named by themselves"),
    lost("n_gpus", 1, "one device a run"),
    lost("resume", None, "threestudio's checkpoints cannot be read"),
)

BLOCKS = (("", TOP), ("trainer", LENGTH), ("checkpoint", CHECKPOINT), ("system.optimizer", ADAPTER_OPTIMIZER))
"""Keys outside of typed parts, with their base paths."""

MODULES = (*GEOMETRIES, *MATERIALS, *BACKGROUNDS, *RENDERERS)
WEIGHTS = lost("weights", None, "threestudio's weights cannot be read")
PARTS: tuple[Part, ...] = (
    *DATA,
    *SYSTEMS,
    *(replace(part, keys=(*part.keys, WEIGHTS)) for part in MODULES),
    *PROMPT_PROCESSORS,
    *GUIDANCES,
    *SCORES,
    *POSED,
    *EXPORTERS,
)


def part_for(slot: str, type_name: str) -> Part | None:
    """Return the rule of a threestudio type; None for a type of an extension."""
    return next((part for part in PARTS if (part.slot, part.type) == (slot, type_name)), None)


def bare(type_name: str) -> str:
    """Remove the kind from the end of a type's name: `my-prior-guidance` becomes `my-prior`."""
    for ending in (
        "-guidance",
        "-material",
        "-background",
        "-renderer",
        "-prompt-processor",
        "-datamodule",
        "-exporter",
    ):
        if type_name.endswith(ending):
            return type_name.removesuffix(ending)
    return type_name
