"""Rules for methods other than SDS: which recipes need a score, and the values of its parts."""

from __future__ import annotations

from typing import Any

from bozzetto_convert.rules import UNSET, Changed, Lost, Note, Part, Read
from bozzetto_convert.values import GUIDANCE, PROMPTS, adjusted, cfg_scale, is_number, is_zero, mapped, schedule

LOSS = "system.loss"
SCORE = ("distillation",)
ADAPTER, ADAPTER_PACKAGE = "adapter", "peft"
"""Reference of VSD, and the package that it needs."""
IMAGE_WEIGHTS = {"lambda_sds_img": "lambda_sds", "lambda_sd_img": "lambda_sd"}
"""Weights of losses between images, and the weights of the losses in latents beside them."""
ADAPTER_WEIGHTS = ("lambda_lora", "lambda_train_phi")
"""Weights of the loss that trains VSD's reference."""
TWO_PREDICTIONS = "it compares the images of two predictions there, which no score here does"
WEIGHTINGS = {
    "sds": "one-minus-alpha-bar",
    "dreamfusion": "one-minus-alpha-bar",
    "uniform": "uniform",
    "fantasia3d": "fantasia3d",
}
LATENT_VALUES = 4 * 64 * 64
"""Values of the latents of a view with Stable Diffusion 1.x and 2.x."""


def variational(read: Read) -> bool:
    """Return whether the method is VSD: its reference is a prediction that is trained along."""
    kind = read("system.guidance_type")
    return kind == "stable-diffusion-vsd-guidance" or (
        str(kind).endswith("-unified-guidance") and read(f"{GUIDANCE}.guidance_type") == "vsd"
    )


def falling(read: Read) -> bool:
    """Return whether the timestep falls without chance: with the root of the step (HiFA), or linearly (SDI)."""
    return bool(read(f"{GUIDANCE}.sqrt_anneal") or read(f"{GUIDANCE}.t_anneal"))


def shares_timestep(read: Read) -> bool:
    """Return whether a step has several views and one timestep, as the unified guidances draw it."""
    sizes = [read("data.batch_size"), read("data.random_camera.batch_size")]
    several = any(item not in (None, 1) for size in sizes for item in (size if isinstance(size, list) else [size]))
    return several and not falling(read) and str(read("system.guidance_type")).endswith("-unified-guidance")


def inverts(read: Read) -> bool:
    """Return whether the noise is found by inversion (SDI)."""
    return bool(read(f"{GUIDANCE}.enable_sdi"))


def essential(read: Read) -> tuple[tuple[str, Any], ...]:
    """Return the settings of a score without which the method is another, as dotted field and value."""
    if variational(read):
        return (("reference.type", ADAPTER),)
    return (("noise.type", "inverted"),) if inverts(read) else ()


def _needed(read: Read) -> tuple[str, ...]:
    images = _image_weight(read) is not None
    wanted = images or read(f"{GUIDANCE}.use_sjc") or falling(read) or shares_timestep(read) or variational(read)
    return SCORE if wanted else ()


ADAPTED = (("score.reference.type", ADAPTER), ("score.reference.warm_up_steps", 0))
SCORES = (
    Part("score", "stable-diffusion-guidance", SCORE, choose=_needed),
    Part("score", "stable-diffusion-unified-guidance", SCORE, choose=_needed),
    Part("score", "zero123-unified-guidance", SCORE, choose=_needed),
    Part("score", "deep-floyd-guidance", SCORE),
    Part("score", "stable-diffusion-sdi-guidance", SCORE, fixed=(("score.weighting", "sigma-over-alpha"),)),
    Part("score", "stable-diffusion-vsd-guidance", SCORE, fixed=ADAPTED),
)
"""Scores by threestudio's type of guidance; a method that is SDS needs none if the guidance has settings of its own."""


def of_window(value: Any, read: Read) -> Any:
    """Convert a bound of the timesteps; nothing if the timestep is a falling point."""
    return UNSET if falling(read) else schedule(value)


def of_point(value: Any, read: Read) -> Any:
    """Convert both bounds to one falling schedule (HiFA's `sqrt_anneal`, SDI's `t_anneal`)."""
    if not falling(read):
        return UNSET
    low, high = read(f"{GUIDANCE}.min_step_percent"), read(f"{GUIDANCE}.max_step_percent")
    if not is_number(low):
        return Lost("the timestep falls towards a value that itself changes")
    high = high if is_number(high) else high[1]
    curve = {"curve": "sqrt"} if read(f"{GUIDANCE}.sqrt_anneal") else {}
    return {"from": high, "to": low, "until_step": int(read(f"{GUIDANCE}.trainer_max_steps")), **curve}


def point(value: Any, read: Read) -> Any:
    """Convert a switch of a falling timestep to the type of timesteps."""
    return "point" if value else UNSET


def shared(value: Any, read: Read) -> Any:
    """Return True where all views of a step have one timestep."""
    return True if shares_timestep(read) else UNSET


def weighting(value: Any, read: Read) -> Any:
    """Convert `weighting_strategy`, which SJC does not read."""
    return UNSET if read(f"{GUIDANCE}.use_sjc") else mapped(WEIGHTINGS, "the weighting")(value, read)


def unified_weighting(value: Any, read: Read) -> Any:
    """Convert the unified guidances' `weighting_strategy`, whose alpha is the square root of the others'."""
    ours = mapped(WEIGHTINGS, "the weighting")(value, read)
    if ours in ("one-minus-alpha-bar", "fantasia3d"):
        return Changed(ours, "of alpha_bar here, of its square root there: clean timesteps weigh more there")
    return ours


def chaining(value: Any, read: Read) -> Any:
    """Convert `use_sjc`: with `var_red`, SJC's gradient is that of SDS with weight 1."""
    return "uniform" if value else UNSET


def variance(value: Any, read: Read) -> Any:
    """Report SJC's gradient without the reduction of variance."""
    return UNSET if value or not read(f"{GUIDANCE}.use_sjc") else Lost("the added noise is always subtracted here")


def guider(value: Any, read: Read) -> Any:
    """Convert `use_perp_neg`, which threestudio's VSD does not read."""
    ignores = read("system.guidance_type") == "stable-diffusion-vsd-guidance"
    return "perp-neg" if value and not ignores else UNSET


def reference(value: Any, read: Read) -> Any:
    """Convert the unified guidance's `guidance_type` to a reference."""
    return ADAPTER if value == "vsd" else UNSET


def warm_up(value: Any, read: Read) -> Any:
    """Return 0 for VSD, whose adapter has no warm-up in threestudio."""
    return 0 if value == "vsd" else UNSET


def in_a_score(name: str, read: Read, scored: bool) -> Note | None:
    """Return a note on a weight that no loss here has, since the method has none, or the score has it; else None.

    Args:
        scored: the task has a score.
    """
    key = f"{LOSS}.{name}"
    if name == "lambda_vsd_img" or (name == "lambda_sd_img" and variational(read)):
        return Note("lost", key, TWO_PREDICTIONS)
    if name in IMAGE_WEIGHTS and not read(f"{GUIDANCE}.use_img_loss"):
        return Note("idle", key, "there is no such loss without use_img_loss")
    if name in IMAGE_WEIGHTS and scored:
        return Note("idle", key, "it is the score's image_term")
    if name in ADAPTER_WEIGHTS and not variational(read):
        return Note("idle", key, "nothing is trained beside the scene")
    if name in ADAPTER_WEIGHTS and scored:
        return Note("idle", key, "the adapter has an optimizer of its own, whose steps a factor does not change")
    return None


def _image_weight(read: Read) -> Any:
    """Return the weight of the loss between images; None if there is none, or if it is 0."""
    if not read(f"{GUIDANCE}.use_img_loss") or variational(read):
        return None
    given = [read(f"{LOSS}.{name}") for name in IMAGE_WEIGHTS]
    return next((value for value in given if value is not None and not is_zero(value)), None)


def image_term(value: Any, read: Read) -> Any:
    """Convert `use_img_loss` (HiFA): the weight of the images' loss, relative to that of the latents' loss."""
    if value and variational(read):
        return Lost(TWO_PREDICTIONS)
    of_images = _image_weight(read)
    if of_images is None:
        return UNSET
    given = [read(f"{LOSS}.{name}") for name in IMAGE_WEIGHTS.values()]
    of_latents = next((item for item in given if item is not None), None)
    if not is_number(of_latents) or of_latents == 0:
        return Lost(f"the images' loss is a multiple of the latents' here, whose weight is {of_latents!r}")
    ours = adjusted(schedule(of_images), lambda number: number / of_latents)
    if read(f"{GUIDANCE}.grad_clip") and not isinstance(ours, (Lost, Changed)):
        return Changed(ours, "grad_clip clips the latents' gradient here, and the image's as well there")
    return ours


def inverted(value: Any, read: Read) -> Any:
    """Convert `enable_sdi`."""
    why = "the latents found by inversion are read at their own noise level here, up to one step noisier than there"
    return Changed("inverted", why) if value else UNSET


def if_inverted(ours: Any) -> Any:
    """Return a conversion to a fixed value that only inverted noise has."""
    return lambda value, read: ours if inverts(read) else UNSET


def inversion_scale(value: Any, read: Read) -> Any:
    """Convert the guidance scale of the inversion, as `cfg_scale` does."""
    if not inverts(read):
        return UNSET
    if read(f"{PROMPTS}.use_perp_neg"):
        return Changed(value, "Perp-Neg's negatives act in the prediction alone here, in the inversion as well there")
    return cfg_scale(value, read)


def spacing(value: Any, read: Read) -> Any:
    """Convert the number of steps of the inversion of all timesteps to the length of one."""
    return 1.0 / value if inverts(read) else UNSET


def eta(value: Any, read: Read) -> Any:
    """Convert the share of fresh noise in the inversion."""
    return value if inverts(read) else UNSET


def one_timestep(value: Any, read: Read) -> Any:
    """Convert `t_anneal`: without it, the timesteps of an inversion with fresh noise must be shared by the views."""
    return True if not value and inverts(read) and read(f"{GUIDANCE}.inversion_eta") else UNSET
