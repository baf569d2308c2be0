"""Rules for threestudio's prompt processors and guidances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bozzetto_convert.rules import UNSET, Changed, How, Key, Part, Read, idle, lacking, lost, same, with_defaults
from bozzetto_convert.values import cfg_scale, front_deg, mapped, model, only, or_unset, step_fraction, written_out

DEBIASING = "words are not removed from prompts here"


def _template(value: Any, read: Read) -> Any:
    if value:
        return Changed("{view} view of {prompt}", "its 'backside view of' is 'back view of' here")
    return UNSET


def _guider(value: Any, read: Read) -> Any:
    return "perp-neg" if value else UNSET


PROMPTS: tuple[Key, ...] = (
    same("prompt", "a hamburger", "top.prompt", how=written_out, fill=False),
    same("negative_prompt", "", "top.negative_prompt", fill=False),
    same("prompt_front", None, "prompt_processor.prompt_front", how=or_unset),
    same("prompt_side", None, "prompt_processor.prompt_side", how=or_unset),
    same("prompt_back", None, "prompt_processor.prompt_back", how=or_unset),
    same("prompt_overhead", None, "prompt_processor.prompt_overhead", how=or_unset),
    idle("pretrained_model_name_or_path", "the guidance's text encoder is used"),
    same("overhead_threshold", 60.0, "prompt_processor.overhead_deg"),
    same("front_threshold", 45.0, "prompt_processor.front_deg", how=front_deg, note="twice as much: the whole width"),
    idle("back_threshold", "see front_threshold", 45.0),
    same("view_dependent_prompt_front", False, "prompt_processor.template", how=_template),
    idle("use_cache", "embeddings are cached"),
    idle("spawn", "the text encoder leaves memory by itself"),
    same("use_perp_neg", False, "prompt_processor.negatives"),
    same("use_perp_neg", False, "guidance.guider", how=_guider, note="`perp-neg`"),
    same("perp_neg_f_fs", [4, 0.5, -2.426], "prompt_processor.perp_neg_front_side"),
    same("perp_neg_f_sf", [4, 0.5, -2.426], "prompt_processor.perp_neg_side_front"),
    same("perp_neg_f_sb", [1, 0.5, -0.606], "prompt_processor.perp_neg_side_back"),
    same("perp_neg_f_fsb", [1, 0.5, 0.967], "prompt_processor.perp_neg_front_side_back"),
    lost("use_prompt_debiasing", False, DEBIASING),
    idle("pretrained_model_name_or_path_prompt_debiasing", "belongs to use_prompt_debiasing"),
    lost("prompt_debiasing_mask_ids", None, DEBIASING),
)

PROMPT_PROCESSORS = (
    Part("prompt_processor", "stable-diffusion-prompt-processor", ("view-dependent",), PROMPTS),
    Part("prompt_processor", "deep-floyd-prompt-processor", ("view-dependent",), PROMPTS),
    Part(
        "prompt_processor",
        "dummy-prompt-processor",
        ("view-dependent",),
        with_defaults(PROMPTS, {"prompt": ""}),
        note="a prompt is always needed",
    ),
)


def _dtype(value: Any, read: Read) -> Any:
    return UNSET if value else "float32"


def _offload(value: Any, read: Read) -> Any:
    return "sequential" if value else UNSET


def _no_view_words(value: Any, read: Read) -> Any:
    return UNSET if value else "{prompt}"


WEIGHTINGS = {
    "sds": "one-minus-alpha-bar",
    "dreamfusion": "one-minus-alpha-bar",
    "uniform": "uniform",
    "fantasia3d": "fantasia3d",
}

MEMORY: tuple[Key, ...] = (
    idle("enable_memory_efficient_attention", "torch's own attention is memory-efficient"),
    same("enable_sequential_cpu_offload", False, "guidance.cpu_offload", how=_offload, note="`sequential`"),
    same("enable_attention_slicing", False, "guidance.attention_slicing"),
    same("enable_channels_last_format", False, "guidance.channels_last"),
    same("half_precision_weights", True, "guidance.dtype", how=_dtype, note="`auto` or `float32`"),
    lost("token_merging", False, "tokens are not merged"),
    idle("token_merging_params", "belongs to token_merging"),
)

CFG = "theirs is cond + s (cond - uncond), ours uncond + s (cond - uncond): one more; the same with Perp-Neg"


def _common(repository: str, scale: float, how: How | None = None, note: str = "") -> tuple[Key, ...]:
    """Return the rules that most guidances share: weights, guidance scale, timesteps, gradient clipping."""
    return (
        Key(
            "pretrained_model_name_or_path",
            repository,
            ("guidance.model",),
            model,
            "an alias where there is one",
            specific=True,
        ),
        Key("guidance_scale", scale, ("guidance.cfg_scale",), how, note, specific=True),
        same("min_step_percent", 0.02, "guidance.min_step_fraction", how=step_fraction),
        same("max_step_percent", 0.98, "guidance.max_step_fraction", how=step_fraction),
        same("grad_clip", None, "guidance.grad_clip", how=or_unset),
        idle("max_items_eval", "debug pictures show every view"),
    )


ANNEALING: tuple[Key, ...] = (
    idle("sqrt_anneal", "makes both step fractions one schedule with `curve: sqrt` (HiFA)", False),
    idle("trainer_max_steps", "where that schedule ends", 25000),
)
STABLE_DIFFUSION: tuple[Key, ...] = (
    same("weighting_strategy", "sds", "guidance.weighting", how=mapped(WEIGHTINGS, "the weighting")),
    *MEMORY,
    *ANNEALING,
    lost("use_img_loss", False, "there is no loss between images (HiFA); nothing is decoded"),
    same("view_dependent_prompting", True, "prompt_processor.template", how=_no_view_words, note="`{prompt}` if false"),
)

CAMERA_CONDITION: tuple[Key, ...] = (
    idle("cond_image_path", "the photo is the reference task's"),
    idle("cond_elevation_deg", "the camera is the reference task's"),
    idle("cond_azimuth_deg", "the camera is the reference task's"),
    idle("cond_camera_distance", "the camera is the reference task's"),
    idle("pretrained_config", "the weights' folder says what they are"),
    idle("vram_O", "nothing of the model is loaded that guidance does not use"),
    same("half_precision_weights", False, "guidance.dtype", how=_dtype),
)


VARIATIONAL = lacking(
    "vsd_phi_model_name_or_path",
    "vsd_guidance_scale_phi",
    "vsd_use_lora",
    "vsd_lora_cfg_training",
    "vsd_lora_n_timestamp_samples",
    "vsd_use_camera_condition",
    "vsd_camera_condition_type",
    "weights",
)
EDITING = lacking(
    "cache_dir", "ddim_scheduler_name_or_path", "condition_scale", "fixed_size", "diffusion_steps", "use_sds"
)


def _unified(read: Read) -> tuple[str, ...]:
    kind = read("system.guidance.guidance_type") or "sds"
    return ("stable-diffusion",) if kind == "sds" else (kind,)


SD_15, SD_21 = "runwayml/stable-diffusion-v1-5", "stabilityai/stable-diffusion-2-1-base"

GUIDANCES = (
    Part(
        "guidance",
        "stable-diffusion-guidance",
        ("stable-diffusion",),
        (
            *_common(SD_15, 100.0, cfg_scale, CFG),
            *STABLE_DIFFUSION,
            lost("use_sjc", False, "score Jacobian chaining does not exist"),
            idle("var_red", "belongs to use_sjc"),
        ),
    ),
    Part(
        "guidance",
        "stable-diffusion-unified-guidance",
        ("stable-diffusion", "vsd"),
        (
            *_common(SD_15, 100.0),
            *with_defaults(
                tuple(key for key in STABLE_DIFFUSION if key.name != "use_img_loss"),
                {"weighting_strategy": "dreamfusion"},
            ),
            idle("use_img_loss", "see lambda_sd_img", True),
            idle("guidance_type", "chooses the guidance", "sds"),
            lost("controlnet_model_name_or_path", None, "ControlNet does not exist"),
            lost("lora_model_name_or_path", None, "LoRA weights cannot be loaded"),
            idle("return_rgb_1step_orig", "see trainer.debug_every"),
            idle("return_rgb_multistep_orig", "see trainer.debug_every"),
            same("n_rgb_multistep_orig_steps", 4, "guidance.debug_steps", fill=False),
            *lacking("preprocessor", "control_scale"),
            *VARIATIONAL,
        ),
        choose=_unified,
    ),
    Part(
        "guidance",
        "deep-floyd-guidance",
        ("deep-floyd", "deepfloyd-if"),
        (
            *_common("DeepFloyd/IF-I-XL-v1.0", 20.0, cfg_scale, CFG),
            *with_defaults(STABLE_DIFFUSION, {"enable_channels_last_format": True}),
        ),
    ),
    Part(
        "guidance",
        "stable-diffusion-vsd-guidance",
        ("vsd", "variational-score"),
        (
            *_common(SD_21, 7.5),
            *MEMORY,
            *ANNEALING,
            same("guidance_scale_lora", 1.0, "guidance.lora_cfg_scale"),
            *lacking("pretrained_model_name_or_path_lora", "lora_cfg_training", "lora_n_timestamp_samples"),
            *lacking("camera_condition_type", "use_img_loss", "view_dependent_prompting"),
        ),
    ),
    Part(
        "guidance",
        "stable-diffusion-sdi-guidance",
        ("sdi", "inversion"),
        (
            *_common(SD_21, 100.0, cfg_scale, CFG),
            *with_defaults(STABLE_DIFFUSION, {"trainer_max_steps": 10000}),
            same("inversion_guidance_scale", -7.5, "guidance.inversion_cfg_scale"),
            same("inversion_n_steps", 10, "guidance.inversion_steps"),
            same("inversion_eta", 0.3, "guidance.inversion_eta"),
            *lacking("n_ddim_steps", "enable_sdi", "t_anneal", "var_red"),
        ),
    ),
    Part("guidance", "zero123-guidance", ("zero123",), (*_common("load/zero123/105000.ckpt", 5.0), *CAMERA_CONDITION)),
    Part(
        "guidance",
        "stable-zero123-guidance",
        ("stable-zero123", "zero123"),
        (
            *_common("load/zero123/stable-zero123.ckpt", 5.0),
            *CAMERA_CONDITION,
        ),
        (("guidance.pose_convention", "stable-zero123"),),
    ),
    Part(
        "guidance",
        "zero123-unified-guidance",
        ("zero123",),
        (
            *_common("bennyguo/zero123-diffusers", 5.0),
            *with_defaults(CAMERA_CONDITION, {"half_precision_weights": True}),
            same("weighting_strategy", "dreamfusion", "guidance.weighting", how=mapped(WEIGHTINGS, "the weighting")),
            Key("guidance_type", "sds", how=only("sds"), note="sds"),
            lost("use_img_loss", False, "there is no loss between images (HiFA); nothing is decoded"),
            *lacking("return_rgb_1step_orig", "return_rgb_multistep_orig", "n_rgb_multistep_orig_steps"),
            *VARIATIONAL,
        ),
    ),
    Part(
        "guidance",
        "stable-diffusion-controlnet-guidance",
        ("controlnet",),
        (
            *_common("SG161222/Realistic_Vision_V2.0", 7.5),
            *MEMORY,
            *EDITING,
            *lacking("control_type", "canny_lower_bound", "canny_upper_bound"),
        ),
    ),
    Part(
        "guidance",
        "stable-diffusion-instructpix2pix-guidance",
        ("instruct-pix2pix",),
        (*_common("timbrooks/instruct-pix2pix", 7.5), *MEMORY, *EDITING, *lacking("ip2p_name_or_path")),
    ),
)


def _posed(key: Key) -> Key:
    how = None if key.how is step_fraction else key.how  # step_fraction reads the annealing of the main guidance
    return replace(key, to=tuple(name.replace("guidance.", "posed.") for name in key.to), how=how)


POSED = tuple(
    replace(
        part,
        slot="posed",
        keys=tuple(map(_posed, part.keys)),
        fixed=tuple((name.replace("guidance.", "posed."), value) for name, value in part.fixed),
    )
    for part in GUIDANCES
    if "zero123" in part.ours
)
"""Rules for the same types as a second guidance (Magic123), which also guides the random views."""
