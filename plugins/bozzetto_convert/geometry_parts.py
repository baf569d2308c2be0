"""Rules for threestudio's geometries."""

from __future__ import annotations

from typing import Any

from bozzetto_convert.rules import UNSET, Changed, Key, Lost, Part, Read, idle, lost, same, with_defaults
from bozzetto_convert.values import (
    finest_resolution,
    levels_active,
    mapped,
    only,
    or_unset,
    shape_file,
    shape_size,
    shape_start,
    surface_density,
)

GEOMETRY = "system.geometry"

NORMALS = {
    "analytic": "analytic",
    "finite_difference": "finite-difference",
    "finite_difference_laplacian": "finite-difference",
    "pred": "predicted",
    None: UNSET,
}
NORMAL_SAMPLES = {
    "finite_difference": 4,
    "finite_difference_laplacian": 6,
    "analytic": UNSET,
    "pred": UNSET,
    None: UNSET,
}
ACTIVATIONS = {"softplus": "softplus", "exp": "exp", "trunc_exp": "exp"}
BIASES = {"blob_dreamfusion": "blob-dreamfusion", "blob_magic3d": "blob-magic3d", "blob": "blob-dreamfusion"}
INTERPOLATIONS = {"Linear": "linear", "Smoothstep": "smoothstep"}


def field_or_feature(name: str) -> tuple[str, str]:
    """Return the targets of a key: a field of the geometry, or of a surface's feature grid."""
    return f"geometry.{name}", f"geometry.features.{name}"


def _feature_count(value: Any, read: Read) -> Any:
    return value if value >= 1 else Changed(3, "a geometry here has at least one feature")


def _otype(value: Any, read: Read) -> Any:
    if value in ("ProgressiveBandFrequency", "Frequency"):
        return Changed(UNSET, "density and features come from one network here, not from two")
    known = ("HashGrid", "ProgressiveBandHashGrid")
    return UNSET if value in known else Lost(f"the encoding {value!r} does not exist here; a hash grid is used")


def _share(value: Any, read: Read) -> Any:
    return value if value < 1 else Lost("a share of all faces is wanted here, not a number of faces")


def _by_encoding(read: Read) -> tuple[str, ...]:
    frequency = "Frequency" in str(read(f"{GEOMETRY}.pos_encoding_config.otype"))
    return ("frequency-mlp",) if frequency else ("hash-grid",)


def _rasterised(read: Read) -> bool:
    return bool(read("system.renderer_type") == "nvdiff-rasterizer")


def _distances(read: Read) -> tuple[str, ...]:
    return ("implicit-sdf",) if _rasterised(read) else ("implicit-sdf", "sdf-grid")


def _sdf_normal(value: Any, read: Read) -> Any:
    if _rasterised(read):
        return mapped(NORMALS, "the normal type")(value, read)
    return UNSET if value == "analytic" else Changed(UNSET, "normals are the gradient of the distance here")


def _sdf_bias(value: Any, read: Read) -> Any:
    if _rasterised(read):
        return UNSET if value == 0.0 else Lost("a surface starts as shape_init says here")
    return UNSET if value in (0.0, "sphere") else Lost(f"the field starts as a sphere here, not as {value!r}")


def _sdf_bias_size(value: Any, read: Read) -> Any:
    if not value or _rasterised(read) or read(f"{GEOMETRY}.sdf_bias") == "sphere":
        return value or UNSET
    return Lost("the field starts as a sphere here")


def _masking(value: Any, read: Read) -> Any:
    return Lost("all octaves take part from the first step") if value else UNSET


NETWORKS: tuple[Key, ...] = (
    Key("pos_encoding_config.otype", "HashGrid", how=_otype, note="`Frequency` chooses `frequency-mlp`"),
    same("pos_encoding_config.n_levels", 16, *field_or_feature("levels")),
    same("pos_encoding_config.n_features_per_level", 2, *field_or_feature("features_per_level")),
    same("pos_encoding_config.log2_hashmap_size", 19, *field_or_feature("log2_table_size")),
    same("pos_encoding_config.base_resolution", 16, *field_or_feature("base_resolution")),
    same(
        "pos_encoding_config.per_level_scale",
        1.447269237440378,
        *field_or_feature("finest_resolution"),
        how=finest_resolution,
        note="base_resolution times the scale to the power n_levels - 1",
        default_inside=2.0,  # tiny-cuda-nn's default
    ),
    same(
        "pos_encoding_config.interpolation",
        "Linear",
        *field_or_feature("interpolation"),
        how=mapped(INTERPOLATIONS, "the interpolation"),
    ),
    same(
        "pos_encoding_config.start_level",
        UNSET,
        "geometry.levels_active",
        how=levels_active,
        note="with start_step and update_steps, as one schedule",
    ),
    idle("pos_encoding_config.start_step", "part of levels_active"),
    idle("pos_encoding_config.update_steps", "part of levels_active"),
    same("pos_encoding_config.n_frequencies", UNSET, "geometry.frequencies"),
    Key("pos_encoding_config.n_masking_step", how=_masking, note="all octaves take part from the first step"),
    lost("pos_encoding_config.include_xyz", False, "networks read the encoding alone"),
    Key(
        "mlp_network_config.otype",
        "VanillaMLP",
        how=only("VanillaMLP", "FullyFusedMLP", "CutlassMLP"),
        note="one kind of network",
    ),
    Key("mlp_network_config.activation", "ReLU", how=only("ReLU"), note="ReLU"),
    Key("mlp_network_config.output_activation", "none", how=only("none", None), note="none"),
    same("mlp_network_config.n_neurons", 64, *field_or_feature("hidden_width"), "geometry.width"),
    same("mlp_network_config.n_hidden_layers", 1, *field_or_feature("hidden_layers"), "geometry.depth"),
    Key("n_input_dims", 3, how=only(3), note="3"),
    same("n_feature_dims", 3, *field_or_feature("feature_count"), how=_feature_count),
)

ISOSURFACE: tuple[Key, ...] = (
    idle("isosurface", "a mesh is made at the end of a run"),
    idle("isosurface_method", "one method, which needs no GPU"),
    same("isosurface_resolution", 128, "geometry.resolution", "mesh.resolution"),
    same("isosurface_threshold", 0.0, "mesh.threshold", how=surface_density, fill=False),
    same("isosurface_chunk", 0, "mesh.chunk_points", how=or_unset, fill=False),
    idle("isosurface_coarse_to_fine", "the whole cube is looked up"),
    idle("isosurface_deformable_grid", "for grids of tetrahedra alone"),
    idle("isosurface_remove_outliers", "loose pieces are always removed"),
    same("isosurface_outlier_n_faces_threshold", 0.01, "mesh.min_component_share", fill=False, how=_share),
)

DENSITY: tuple[Key, ...] = (
    same("radius", 1.0, "geometry.radius"),
    same(
        "density_activation",
        "softplus",
        "geometry.density_activation",
        how=mapped(ACTIVATIONS, "the density activation"),
    ),
    same(
        "density_bias",
        "blob_magic3d",
        "geometry.density_bias",
        how=mapped(BIASES, "the density bias"),
        note="names with hyphens; a constant bias is lost",
    ),
    same("density_blob_scale", 10.0, "geometry.blob_scale"),
    same("density_blob_std", 0.5, "geometry.blob_std"),
    same("normal_type", "finite_difference", "geometry.normal", how=mapped(NORMALS, "the normal type")),
    same(
        "normal_type",
        "finite_difference",
        "geometry.finite_difference_samples",
        how=mapped(NORMAL_SAMPLES, "the normal type"),
        note="how many evaluations a difference takes",
    ),
    same("finite_difference_normal_eps", 0.01, "geometry.finite_difference_eps"),
    idle("anneal_density_blob_std_config", "has no effect there either"),
)

SHAPE: tuple[Key, ...] = (
    same("shape_init", None, "geometry.start", how=shape_start, note="`sphere`, `ellipsoid`, or `mesh`"),
    same("shape_init", None, "geometry.start_mesh.path", "geometry.asset.path", how=shape_file, note="of `mesh:FILE`"),
    same("shape_init_params", None, "geometry.start_radius", how=shape_size("sphere"), note="of a sphere"),
    same("shape_init_params", None, "geometry.start_axes", how=shape_size("ellipsoid"), note="of an ellipsoid"),
    same(
        "shape_init_params",
        None,
        "geometry.start_mesh.extent",
        "geometry.asset.extent",
        how=shape_size("mesh"),
        note="of a mesh; here a share of the radius",
    ),
    same("shape_init_mesh_up", "+z", "geometry.start_mesh.up", "geometry.asset.up", fill=False),
    same("shape_init_mesh_front", "+x", "geometry.start_mesh.front", "geometry.asset.front", fill=False),
    idle("force_shape_init", "the shape is initialised when a stage starts"),
)

SIGNED_DISTANCE: tuple[Key, ...] = (
    same("radius", 1.0, "geometry.radius"),
    *NETWORKS,
    *SHAPE,
    Key("sdf_bias", 0.0, how=_sdf_bias, note="a sphere"),
    same("sdf_bias_params", None, "geometry.sphere_radius", how=_sdf_bias_size),
    same("normal_type", "finite_difference", "geometry.normal", how=_sdf_normal, fill=False),
    same("finite_difference_normal_eps", 0.01, "geometry.finite_difference_eps", fill=False),
    *ISOSURFACE,
)

TETRAHEDRA: tuple[Key, ...] = (
    same("radius", 1.0, "geometry.radius"),
    *NETWORKS,
    *SHAPE,
    lost("geometry_only", False, "a geometry here has features at all times"),
    same("fix_geometry", False, "geometry.lock_geometry"),
    same("isosurface_deformable_grid", True, "geometry.deform"),
    *(key for key in ISOSURFACE if key.name != "isosurface_deformable_grid"),
)

VOXELS: tuple[Key, ...] = (
    *with_defaults(DENSITY, {"density_bias": "blob", "density_blob_scale": 5.0}),
    same("grid_size", [100, 100, 100], "geometry.resolution"),
    same("n_feature_dims", 3, "geometry.feature_count", how=_feature_count),
    *with_defaults(ISOSURFACE, {"isosurface_threshold": "auto"}),
)

GEOMETRIES = (
    Part(
        "geometry",
        "implicit-volume",
        ("hash-grid", "frequency-mlp"),
        (*DENSITY, *NETWORKS, *with_defaults(ISOSURFACE, {"isosurface_threshold": 25.0})),
        choose=_by_encoding,
    ),
    Part(
        "geometry",
        "implicit-sdf",
        ("implicit-sdf", "sdf-grid"),
        SIGNED_DISTANCE,
        choose=_distances,
        near=("dmtet",),
        note="in a volume; for a rasterizer `dmtet` stands in",
    ),
    Part("geometry", "tetrahedra-sdf-grid", ("dmtet",), TETRAHEDRA),
    Part("geometry", "volume-grid", ("volume-grid",), VOXELS),
    Part(
        "geometry",
        "custom-mesh",
        ("mesh",),
        (same("radius", 1.0, "geometry.radius"), *NETWORKS, *with_defaults(SHAPE, {"shape_init": ""})),
    ),
)
