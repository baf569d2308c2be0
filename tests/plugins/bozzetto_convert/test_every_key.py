"""Tests that the recipes in `threestudio` contain every type and key of DreamFusion, Magic3D, Zero123, Fantasia3D and
Latent-NeRF, so that the tests of these recipes cover each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bozzetto_convert.losses import LOSSES
from bozzetto_convert.run_parts import BLOCKS, PARTS

RECIPES = sorted((Path(__file__).parent / "threestudio").glob("*.yaml"))

TYPES = """
dreamfusion-system magic3d-system zero123-system fantasia3d-system latentnerf-system random-camera-datamodule
single-image-datamodule implicit-volume implicit-sdf tetrahedra-sdf-grid no-material diffuse-with-point-light-material
pbr-material neural-environment-map-background nerf-volume-renderer nvdiff-rasterizer stable-diffusion-prompt-processor
stable-diffusion-guidance zero123-guidance mesh-exporter
"""

KEYS = """
batch_size height width resolution_milestones elevation_range azimuth_range camera_distance_range fovy_range camera_perturb
center_perturb up_perturb batch_uniform_azimuth progressive_until light_sample_strategy light_position_perturb
light_distance_range eval_elevation_deg eval_camera_distance eval_fovy_deg n_val_views n_test_views
default_elevation_deg default_azimuth_deg default_camera_distance default_fovy_deg image_path requires_depth requires_normal
radius n_feature_dims density_activation density_bias density_blob_scale density_blob_std normal_type
pos_encoding_config mlp_network_config isosurface isosurface_method isosurface_resolution isosurface_threshold
isosurface_coarse_to_fine isosurface_deformable_grid isosurface_remove_outliers geometry_only fix_geometry shape_init
shape_init_params sdf_bias sdf_bias_params geometry_convert_from geometry_convert_inherit_texture geometry_convert_override
ambient_light_color diffuse_light_color ambient_only_steps diffuse_prob textureless_prob soft_shading random_aug
random_aug_prob num_samples_per_ray estimator context_type prompt negative_prompt prompt_front prompt_side prompt_back
prompt_overhead view_dependent_prompt_front overhead_threshold front_threshold back_threshold use_perp_neg
use_prompt_debiasing pretrained_model_name_or_path guidance_scale min_step_percent max_step_percent weighting_strategy
grad_clip half_precision_weights use_sjc var_red sqrt_anneal trainer_max_steps use_img_loss latent_steps max_steps precision
lambda_sds lambda_sparsity lambda_opaque lambda_orient lambda_normal_smooth lambda_3d_normal_smooth
lambda_normal_consistency lambda_laplacian_smoothness lambda_rgb lambda_mask lambda_depth lambda_depth_rel lambda_normal
lambda_shape
"""


def leaves(values: object) -> set[str]:
    """Yield every key at any depth, and every string value."""
    if isinstance(values, dict):
        return set(values).union(*map(leaves, values.values()))
    return {values} if isinstance(values, str) else set()


@pytest.fixture(scope="module")
def found():
    return set().union(*(leaves(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in RECIPES))


def test_every_key_is_in_a_recipe(found):
    assert [key for key in KEYS.split() if key not in found] == []


def test_every_type_is_in_a_recipe(found):
    assert [name for name in TYPES.split() if name not in found] == []


def test_every_key_has_its_rule():
    rules = [key for part in PARTS for key in part.keys] + [key for _, keys in BLOCKS for key in keys]
    names = {word for rule in rules for word in rule.name.split(".")} | {loss.name for loss in LOSSES}
    assert [key for key in KEYS.split() if key not in names] == []
    assert [name for name in TYPES.split() if name not in {part.type for part in PARTS}] == []
