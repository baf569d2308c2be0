"""Rules for threestudio's guidances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bozzetto_convert import score_parts as score
from bozzetto_convert.rules import UNSET, Changed, How, Key, Part, Read, idle, lacking, lost, same, with_defaults
from bozzetto_convert.values import cfg_scale, model, only, or_unset
from bozzetto_convert.variational_parts import LORA, PHI


def _dtype(value: Any, read: Read) -> Any:
    return UNSET if value else "float32"


def _offload(value: Any, read: Read) -> Any:
    if value and score.variational(read):
        return Changed("model", "an adapter is trained through all layers at once")
    return "sequential" if value else UNSET


def _no_view_words(value: Any, read: Read) -> Any:
    return UNSET if value else "{prompt}"


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
        Key("guidance_scale", scale, ("score.guider.scale", "guidance.cfg_scale"), how, note, specific=True),
        same("min_step_percent", 0.02, "score.timesteps.min", "guidance.min_step_fraction", how=score.of_window),
        same("max_step_percent", 0.98, "score.timesteps.max", "guidance.max_step_fraction", how=score.of_window),
        same("grad_clip", None, "score.grad_clip", "guidance.grad_clip", how=or_unset),
        idle("max_items_eval", "debug pictures show every view"),
    )


ANNEALING: tuple[Key, ...] = (
    same("max_step_percent", 0.98, "score.timesteps.at", how=score.of_point, note="where the timestep falls"),
    same("sqrt_anneal", False, "score.timesteps.type", how=score.point, note="`point` (HiFA)"),
    idle("trainer_max_steps", "where that schedule ends", 25000),
)
VIEW_WORDS = same(
    "view_dependent_prompting", True, "prompt_processor.template", how=_no_view_words, note="`{prompt}` if false"
)
WEIGHTING = ("score.weighting", "guidance.weighting")
STABLE_DIFFUSION: tuple[Key, ...] = (
    same("weighting_strategy", "sds", *WEIGHTING, how=score.weighting),
    *MEMORY,
    *ANNEALING,
    same("use_img_loss", False, "score.image_term", how=score.image_term, note="`lambda_sds_img / lambda_sds` (HiFA)"),
    VIEW_WORDS,
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


EDITING = lacking(
    "cache_dir", "ddim_scheduler_name_or_path", "condition_scale", "fixed_size", "diffusion_steps", "use_sds"
)


UNIFIED: tuple[Key, ...] = (
    same("weighting_strategy", "dreamfusion", *WEIGHTING, how=score.unified_weighting, note="of another alpha"),
    same("guidance_type", "sds", "score.timesteps.shared", how=score.shared, note="true for several views"),
    same("guidance_type", "sds", "score.reference.type", how=score.reference, note="`adapter` for vsd"),
    same("guidance_type", "sds", "score.reference.warm_up_steps", how=score.warm_up, note="0 for vsd"),
)
NOT_IN_SDI = ("weighting_strategy", "sqrt_anneal", "trainer_max_steps", "use_img_loss")
INVERSION: tuple[Key, ...] = (
    same("t_anneal", True, "score.timesteps.type", how=score.point, note="`point`"),
    same("t_anneal", True, "score.timesteps.shared", how=score.one_timestep, note="true with fresh noise if false"),
    idle("trainer_max_steps", "where that schedule ends", 10000),
    same("enable_sdi", True, "score.noise.type", how=score.inverted, note="`inverted`"),
    same("enable_sdi", True, "score.noise.base", how=score.if_inverted("uncond"), note="`uncond`"),
    same("enable_sdi", True, "score.noise.overshoot", how=score.if_inverted(True)),
    same("enable_sdi", True, "guidance.encode", how=score.if_inverted("mode"), note="`mode`: not a sample"),
    same("inversion_guidance_scale", -7.5, "score.noise.scale", how=score.inversion_scale, note="as guidance_scale"),
    same("inversion_n_steps", 10, "score.noise.spacing", how=score.spacing, note="1 / n"),
    same("inversion_eta", 0.3, "score.noise.eta", how=score.eta),
    same("n_ddim_steps", 50, "score.debug_steps", fill=False),
    idle("weighting_strategy", "the loss is on clean latents: `sigma-over-alpha`", "sds"),
    idle("use_img_loss", "unused in threestudio", False),
    idle("var_red", "unused in threestudio", True),
)


SD_15, SD_21 = "runwayml/stable-diffusion-v1-5", "stabilityai/stable-diffusion-2-1-base"

GUIDANCES = (
    Part(
        "guidance",
        "stable-diffusion-guidance",
        ("stable-diffusion",),
        (
            *_common(SD_15, 100.0, cfg_scale, CFG),
            *STABLE_DIFFUSION,
            same("use_sjc", False, "score.weighting", how=score.chaining, note="`uniform`"),
            Key("var_red", True, how=score.variance, note="true"),
        ),
        note="with a `score` for SJC and HiFA",
    ),
    Part(
        "guidance",
        "stable-diffusion-unified-guidance",
        ("stable-diffusion",),
        (
            *_common(SD_15, 100.0),
            *with_defaults(
                tuple(key for key in STABLE_DIFFUSION if key.name != "weighting_strategy"), {"use_img_loss": True}
            ),
            *UNIFIED,
            lost(
                "controlnet_model_name_or_path",
                None,
                "their ControlNet sees an estimate from the picture; ours, `guidance.controls`, a rendered map",
            ),
            lost("lora_model_name_or_path", None, "LoRA weights cannot be loaded"),
            idle("return_rgb_1step_orig", "see trainer.debug_every"),
            idle("return_rgb_multistep_orig", "see trainer.debug_every"),
            same("n_rgb_multistep_orig_steps", 4, "score.debug_steps", "guidance.debug_steps", fill=False),
            *lacking("preprocessor", "control_scale"),
            *PHI,
        ),
        note="with a `score` for HiFA, VSD and several views",
    ),
    Part(
        "guidance",
        "deep-floyd-guidance",
        ("deep-floyd", "diffusion-prior"),
        (
            *_common("DeepFloyd/IF-I-XL-v1.0", 20.0, cfg_scale, CFG),
            *with_defaults(STABLE_DIFFUSION, {"enable_channels_last_format": True}),
        ),
        note="the model `deepfloyd-if`, with a `score`",
    ),
    Part(
        "guidance",
        "stable-diffusion-vsd-guidance",
        ("stable-diffusion",),
        (
            *_common(SD_21, 7.5),
            *MEMORY,
            *ANNEALING,
            *LORA,
            VIEW_WORDS,
        ),
        note="with a `score` of reference `adapter`",
    ),
    Part(
        "guidance",
        "stable-diffusion-sdi-guidance",
        ("stable-diffusion",),
        (
            *_common(SD_21, 100.0, cfg_scale, CFG),
            *(key for key in STABLE_DIFFUSION if key.name not in NOT_IN_SDI),
            *INVERSION,
        ),
        note="with a `score` of noise `inverted`",
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
            *UNIFIED[:2],
            Key("guidance_type", "sds", how=only("sds"), note="sds"),
            lost("use_img_loss", False, "there is no loss between images (HiFA); nothing is decoded"),
            *lacking("return_rgb_1step_orig", "return_rgb_multistep_orig", "n_rgb_multistep_orig_steps"),
            *PHI,
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
        (),  # ours edits what a finished scene showed, in fixed views: no setting of theirs has that meaning
        (*_common("timbrooks/instruct-pix2pix", 7.5), *MEMORY, *EDITING, *lacking("ip2p_name_or_path")),
    ),
)


def _posed(key: Key) -> Key | None:
    """Return the rule for the second guidance, which has no score; None for a rule of scores."""
    how = None if key.how is score.of_window else key.how  # of_window reads the main guidance
    to = tuple(name.replace("guidance.", "posed.") for name in key.to if not name.startswith("score."))
    return None if key.to and not to else replace(key, to=to, how=how)


POSED = tuple(
    replace(
        part,
        slot="posed",
        keys=tuple(filter(None, map(_posed, part.keys))),
        fixed=tuple((name.replace("guidance.", "posed."), value) for name, value in part.fixed),
    )
    for part in GUIDANCES
    if "zero123" in part.ours
)
"""Rules for the same types as a second guidance (Magic123), which also guides the random views."""
