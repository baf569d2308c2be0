"""Rules for threestudio's materials, backgrounds and renderers."""

from __future__ import annotations

import math
from typing import Any

from bozzetto_convert.rules import UNSET, Changed, Key, Lost, Part, Read, below, idle, lacking, lost, same
from bozzetto_convert.values import mapped, only

ENCODINGS = {"SphericalHarmonics": "spherical-harmonics", "Frequency": "frequency"}
GEOMETRY_RADIUS = "system.geometry.radius"


def _normals_only(read: Read) -> bool:
    """Return whether this is Fantasia3D's first stage, which renders normals and does not use the material."""
    return read("system_type") == "fantasia3d-system" and not read("system.texture")


def _latent(read: Read) -> bool:
    """Return whether the scene is one of Stable Diffusion's latents: four features that are rendered as they are."""
    as_they_are = not read("system.material.mlp_network_config")
    four = all(read(f"system.{name}") == 4 for name in ("geometry.n_feature_dims", "material.n_output_dims"))
    return four and as_they_are and read("system.renderer_type") != "nvdiff-rasterizer"


def _no_material(read: Read) -> tuple[str, ...]:
    return ("plane-light-diffuse",) if _normals_only(read) else ("latent",) if _latent(read) else ("no-material",)


def _adapter(read: Read) -> tuple[str, ...]:
    return ("latent",) if read("system.geometry.n_feature_dims") == 4 else ()


def _activation(value: Any, read: Read) -> Any:
    if value == ("none" if _latent(read) else "sigmoid") or _normals_only(read):
        return UNSET
    return Lost(f"colours go through a sigmoid here, not {value!r}")


def _eval_mode(value: Any, read: Read) -> str:
    return "albedo" if value else "lambertian"


def _color_outputs(value: Any, read: Read) -> Any:
    fits = value in (0, 3) or (value == 4 and _latent(read))
    return UNSET if fits else Lost(f"colours are RGB here, not {value} channels")


def _behind_latents(value: Any, read: Read) -> Any:
    if value == 4 and _latent(read):
        return Changed(UNSET, "it has colours, which a linear map turns into latents; there it has latents of its own")
    return _color_outputs(value, read)


MATERIALS = (
    Part(
        "material",
        "diffuse-with-point-light-material",
        ("point-light-diffuse",),
        (
            same("ambient_light_color", [0.1, 0.1, 0.1], "material.ambient_color"),
            same("diffuse_light_color", [0.9, 0.9, 0.9], "material.diffuse_color"),
            same("ambient_only_steps", 1000, "material.albedo_until_step"),
            same("diffuse_prob", 0.75, "material.diffuse_probability"),
            same("textureless_prob", 0.5, "material.textureless_probability"),
            Key("albedo_activation", "sigmoid", how=only("sigmoid"), note="sigmoid"),
            same("soft_shading", False, "material.soft_shading"),
            same("ambient_only_on_test", False, "material.eval_mode", how=_eval_mode),
        ),
    ),
    Part(
        "material",
        "no-material",
        ("no-material", "plane-light-diffuse", "latent"),
        (
            Key("n_output_dims", 3, how=_color_outputs, note="3"),
            Key("color_activation", "sigmoid", how=_activation, note="sigmoid"),
            idle("input_feature_dims", "the material asks the geometry"),
            same("mlp_network_config.n_neurons", 32, "material.hidden_width", fill=False),
            same("mlp_network_config.n_hidden_layers", 1, "material.hidden_layers", fill=False),
            idle("mlp_network_config.otype", "one kind of network"),
            idle("mlp_network_config.activation", "ReLU"),
            idle("mlp_network_config.output_activation", "none"),
            idle("requires_normal", "normals are made when something reads them"),
        ),
        choose=_no_material,
        note="`plane-light-diffuse` for Fantasia3D's first stage, which shows normals; `latent` for four channels",
    ),
    Part(
        "material",
        "pbr-material",
        ("pbr",),
        (
            Key("material_activation", "sigmoid", how=only("sigmoid"), note="sigmoid"),
            same("environment_texture", "load/lights/mud_road_puresky_1k.hdr", "material.environment", fill=False),
            same("environment_scale", 2.0, "material.environment_scale"),
            same("min_metallic", 0.0, "material.min_metallic"),
            same("max_metallic", 0.9, "material.max_metallic"),
            same("min_roughness", 0.08, "material.min_roughness"),
            same("max_roughness", 0.9, "material.max_roughness"),
            same("use_bump", True, "material.bump"),
        ),
    ),
    Part(
        "material",
        "neural-radiance-material",
        ("neural-radiance",),
        lacking("input_feature_dims", "color_activation", "dir_encoding_config", "mlp_network_config"),
    ),
    Part(
        "material",
        "hybrid-rgb-latent-material",
        ("hybrid-rgb-latent",),
        lacking("n_output_dims", "color_activation", "requires_normal"),
    ),
    Part(
        "material",
        "sd-latent-adapter-material",
        ("latent",),
        fixed=(("material.space", "rgb"),),
        choose=_adapter,
        note="in the space `rgb`",
    ),
)


def _random_probability(value: Any, read: Read) -> Any:
    return read("system.background.random_aug_prob") if value else 0.0


def _white_probability(value: Any, read: Read) -> float:
    probability: float = 1.0 - value
    return probability


def _solid(read: Read) -> tuple[str, ...]:
    return ("random-solid",) if read("system.background.random_aug") else ("solid",)


def _color(value: Any, read: Read) -> Any:
    if not isinstance(value, list) or len(value) != 3:
        return Lost(f"a background here has the three channels of RGB, not {value!r}")
    return value


def _eval_color(value: Any, read: Read) -> Any:
    if value != [1.0, 1.0, 1.0]:
        return Changed(_color(value, read), "views without a random colour are white in training")
    return value


BACKGROUNDS = (
    Part(
        "background",
        "neural-environment-map-background",
        ("neural-environment",),
        (
            Key("n_output_dims", 3, how=_behind_latents, note="3"),
            Key("color_activation", "sigmoid", how=_activation, note="sigmoid"),
            same(
                "dir_encoding_config.otype",
                "SphericalHarmonics",
                "background.encoding",
                how=mapped(ENCODINGS, "the encoding"),
            ),
            Key("dir_encoding_config.degree", 3, how=only(3), note="3, nine harmonics"),
            same("dir_encoding_config.n_frequencies", UNSET, "background.frequencies"),
            idle("mlp_network_config.otype", "one kind of network"),
            idle("mlp_network_config.activation", "ReLU"),
            same("mlp_network_config.n_neurons", 16, "background.hidden_width"),
            same("mlp_network_config.n_hidden_layers", 2, "background.hidden_layers"),
            same(
                "random_aug",
                False,
                "background.random_probability",
                how=_random_probability,
                note="0, or random_aug_prob",
            ),
            idle("random_aug_prob", "see random_aug", 0.5),
            lost("eval_color", None, "evaluation images show the trained background; the turntable shows white"),
        ),
    ),
    Part(
        "background",
        "solid-color-background",
        ("solid", "random-solid"),
        (
            same("color", [1.0, 1.0, 1.0], "background.color", how=_color),
            same("color", [1.0, 1.0, 1.0], "background.eval_color", how=_eval_color),
            Key("n_output_dims", 3, how=_behind_latents, note="3"),
            lost("learned", False, "a colour that is learnt does not exist"),
            idle("random_aug", "chooses `random-solid`", False),
            same("random_aug_prob", 0.5, "background.white_probability", how=_white_probability),
        ),
        choose=_solid,
    ),
    Part(
        "background",
        "textured-background",
        ("textured",),
        (
            same("height", 64, "background.height"),
            same("width", 64, "background.width"),
            *lacking("n_output_dims", "color_activation"),
        ),
    ),
)


def _volsdf(read: Read) -> bool:
    return bool(read("system.renderer.use_volsdf")) and read("system.geometry_type") == "implicit-sdf"


def _distance_renderer(read: Read) -> tuple[str, ...]:
    return ("volume",) if _volsdf(read) else ("neus",)


def _thickness(value: Any, read: Read) -> Any:
    return round(math.exp(-10.0 * value), 9) if _volsdf(read) else UNSET


def _annealed(value: Any, read: Read) -> Any:
    return UNSET if _volsdf(read) or not value else Lost("nothing here is annealed by the angle of rays")


def _same_radius(value: Any, read: Read) -> Any:
    if value == read(GEOMETRY_RADIUS):
        return UNSET
    return Changed(UNSET, "the renderer asks the geometry for its size")


def _alpha(value: Any, read: Read) -> float:
    return 0.01 if value else 0.0


VOLUME: tuple[Key, ...] = (
    Key("radius", 1.0, how=_same_radius, note="the renderer asks the geometry"),
    same("num_samples_per_ray", 512, "renderer.samples_per_ray"),
    idle("eval_chunk_size", "evaluation images are rendered in pieces, see max_samples"),
    lost("randomized", True, "rays start at a random offset at all times"),
    lost("near_plane", 0.0, "rays cross the whole cube"),
    lost("far_plane", 1e10, "rays cross the whole cube"),
    idle("return_comp_normal", "normals are made when something reads them"),
    idle("return_normal_perturb", "the loss looks them up itself"),
    lost("estimator", "occgrid", "samples are placed by an occupancy grid"),
    lost("grid_prune", True, "empty space is always skipped"),
    same("prune_alpha_threshold", True, "renderer.occupancy_threshold", how=_alpha, note="0.01 or 0"),
    idle("proposal_network_config", "belongs to another estimator"),
    idle("prop_optimizer_config", "belongs to another estimator"),
    idle("prop_scheduler_config", "belongs to another estimator"),
    idle("num_samples_per_ray_proposal", "belongs to another estimator"),
    idle("num_samples_per_ray_importance", "belongs to another estimator"),
)

BASE = (
    idle("radius", "the renderer asks the geometry"),
    idle("base_renderer_type", "it is the volume renderer here"),
    *below("base_renderer", VOLUME),
)
GLOBAL = ("global_detach", "global_downsample")

RENDERERS = (
    Part("renderer", "nerf-volume-renderer", ("volume",), VOLUME, (("renderer.occupancy_resolution", 32),)),
    Part(
        "renderer",
        "neus-volume-renderer",
        ("neus", "volume"),
        (
            *VOLUME,
            Key("learned_variance_init", 0.3, ("geometry.beta",), _thickness, "of VolSDF: exp(-10 v)", specific=True),
            Key("cos_anneal_end_steps", 0, how=_annealed, note="of NeuS alone", specific=True),
            idle("use_volsdf", "chooses `volume`, with the density of the geometry `sdf-grid`", False),
        ),
        (("geometry.least_beta", 0.0125), ("renderer.occupancy_resolution", 32)),
        "with `use_volsdf`; else `volume` stands in",
        _distance_renderer,
        ("volume",),
    ),
    Part(
        "renderer",
        "nvdiff-rasterizer",
        ("mesh",),
        (
            Key("radius", 1.0, how=_same_radius, note="the renderer asks the geometry"),
            idle("context_type", "no OpenGL is needed"),
        ),
    ),
    Part("renderer", "patch-renderer", ("patch",), (*BASE, *lacking("patch_size", *GLOBAL)), near=("volume",)),
    Part("renderer", "gan-volume-renderer", ("gan-volume",), BASE, near=("volume",)),
)
