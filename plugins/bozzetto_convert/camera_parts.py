"""Rules for threestudio's data modules: cameras, lights and reference images."""

from __future__ import annotations

from typing import Any

from bozzetto.config.binding import REQUIRED
from bozzetto_convert.rules import UNSET, How, Key, Part, Read, below, idle, lacking, lost, same

RANDOM_CAMERA: tuple[Key, ...] = (
    same("batch_size", 1, "views.batch_size"),
    same("height", 64, "views.height"),
    same("width", 64, "views.width"),
    same("resolution_milestones", [], "views.resolution_milestones"),
    same("elevation_range", [-10, 90], "views.elevation_deg"),
    same("azimuth_range", [-180, 180], "views.azimuth_deg"),
    same("camera_distance_range", [1, 1.5], "views.distance"),
    same("fovy_range", [40, 70], "views.fov_y_deg"),
    same("camera_perturb", 0.1, "views.position_jitter"),
    same("center_perturb", 0.2, "views.target_jitter_std"),
    same("up_perturb", 0.02, "views.up_jitter_std"),
    same("batch_uniform_azimuth", True, "views.stratified_azimuth"),
    same("progressive_until", 0, "views.progressive_until_step", note="here distance and field of view widen too"),
    same("light_sample_strategy", "dreamfusion", "material.light_sampling"),
    same("light_position_perturb", 1.0, "material.light_perturbation"),
    same("light_distance_range", [0.8, 1.5], "material.light_distance"),
    same("eval_elevation_deg", 15.0, "views.eval_elevation_deg"),
    same("eval_camera_distance", 1.5, "views.eval_distance"),
    same("eval_fovy_deg", 70.0, "views.eval_fov_y_deg"),
    same("eval_height", 512, "views.eval_height"),
    same("eval_width", 512, "views.eval_width"),
    idle("eval_batch_size", "evaluation images are rendered as memory allows"),
    same("n_val_views", 1, "trainer.image_views", fill=False),
    same("n_test_views", 120, "turntable.frames", fill=False),
    lost("rays_d_normalize", True, "ray directions have unit length at all times"),
)


def a_path(value: Any, read: Read) -> Any:
    """Return the photo's path; `???` if the user must give it."""
    return value or REQUIRED


def beside(ending: str) -> How:
    """Return a rule for the file next to `NAME_rgba.png` with another ending; maps are read from the photo's folder."""

    def how(value: Any, read: Read) -> Any:
        name = str(read("data.image_path") or "").rpartition("/")[2]
        return name.removesuffix("_rgba.png") + ending if value and name.endswith("_rgba.png") else UNSET

    return how


REFERENCE_IMAGE: tuple[Key, ...] = (
    same("image_path", "", "top.image", how=a_path),
    same("height", 96, "reference.height"),
    same("width", 96, "reference.width"),
    same("resolution_milestones", [], "reference.resolution_milestones"),
    same("default_elevation_deg", 0.0, "reference.elevation_deg"),
    same("default_azimuth_deg", -180.0, "reference.azimuth_deg"),
    same("default_camera_distance", 1.2, "reference.distance"),
    same("default_fovy_deg", 60.0, "reference.fov_y_deg"),
    idle("rays_noise_scale", "rays pass through the middles of pixels"),
    idle("batch_size", "the photo's view is rendered once in a step"),
    same("requires_depth", False, "reference.depth", how=beside("_depth.png"), note="the file beside the photo"),
    same("requires_normal", False, "reference.normal", how=beside("_normal.png"), note="the file beside the photo"),
    idle("use_random_camera", "the random views are a task of their own"),
    lost("rays_d_normalize", True, "ray directions have unit length at all times"),
)

MULTIVIEW = (
    "dataroot train_downsample_resolution eval_downsample_resolution train_data_interval eval_data_interval "
    "batch_size eval_batch_size camera_layout camera_distance eval_interpolation rays_d_normalize"
)
CO3D = (
    "root_dir batch_size height width load_preprocessed cam_scale_factor max_num_frames v2_mode use_mask box_crop "
    "box_crop_mask_thr box_crop_context train_num_rays train_views train_split val_split test_split scale_radius "
    "use_random_camera rays_noise_scale render_path"
)

SAMPLING = (
    ("views.fov_per_view", True),
    ("views.sphere_uniform_rate", 0.5),
)

DATA = (
    Part("views", "random-camera-datamodule", ("orbit",), RANDOM_CAMERA, SAMPLING),
    Part("views", "single-image-datamodule", ("orbit",), below("random_camera", RANDOM_CAMERA), SAMPLING),
    Part(
        "reference", "single-image-datamodule", ("single-image",), REFERENCE_IMAGE, (("reference.image", "${image}"),)
    ),
    Part(
        "views",
        "eff-random-camera-datamodule",
        ("efficient-orbit",),
        (*RANDOM_CAMERA, *lacking("sample_height", "sample_width")),
        near=("orbit",),
    ),
    Part("views", "multiview-camera-datamodule", ("multiview",), lacking(*MULTIVIEW.split())),
    Part("views", "co3d-datamodule", ("co3d",), (*below("random_camera", RANDOM_CAMERA), *lacking(*CO3D.split()))),
)
