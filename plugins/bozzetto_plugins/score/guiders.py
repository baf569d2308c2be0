"""Guiders: how the predictions of several branches become one."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kinds.score import Branch, Prior
from bozzetto.math.branch_mixing import mix, noise_free, three_way
from bozzetto.math.guidance import cfg, perp_neg
from bozzetto.math.levels import epsilon_at, x0_at
from bozzetto.math.rescaling import rescale_group
from bozzetto.scoring import Prediction
from bozzetto_plugins.score.axes import GuiderConfig

Latents = Float[Tensor, "B C h w"]


def guide(config: GuiderConfig, prior: Prior, noisy: Latents, timestep: Int[Tensor, "B"], step: int) -> Prediction:
    """Predict the branches that the guider reads in one batch, and combine them.

    Of a guider whose weights do not sum to 1, `epsilon` is a direction and `x0` that of the prompt alone.
    """
    outputs = prior.predict(noisy, timestep, branches_at(config, step))
    if config.type in ("cfg", "perp-neg", "three-way"):
        return _guided_output(config, prior, outputs, noisy, timestep, step)
    noise = {name: prior.epsilon(output, noisy, timestep) for name, output in outputs.items()}
    if config.type == "nfsd":
        fraction = timestep / prior.train_steps
        scale = config.scale.at(step)
        direction = noise_free(noise["cond"], noise["empty"], noise["uncond"], fraction, scale, config.switch)
    else:
        weights = (config.cond.at(step), config.uncond.at(step), config.empty.at(step))
        direction = mix(noise["cond"], noise["uncond"], noise.get("empty"), weights)
    if config.predicts_noise:
        return Prediction(direction, _x0(prior, direction, noisy, timestep))
    return Prediction(direction, prior.x0(outputs["cond"], noisy, timestep))


def branches_at(config: GuiderConfig, step: int) -> list[Branch]:
    """Return the branches that are read in a step; a scale of 1 is the conditional prediction alone."""
    if config.type == "cfg":
        return ["cond"] if config.scale.at(step) == 1.0 else ["cond", "uncond"]
    if config.type == "perp-neg":
        return ["cond", "uncond", "negatives"]
    if config.type == "three-way":
        return ["cond", "image", "uncond"]
    needs_empty = config.type == "nfsd" or config.empty.at(step) != 0.0
    return ["cond", "uncond", "empty"] if needs_empty else ["cond", "uncond"]


def _guided_output(
    config: GuiderConfig, prior: Prior, outputs: Mapping[Branch, Tensor], noisy: Latents, timestep: Tensor, step: int
) -> Prediction:
    """Combine raw outputs: the conversions are affine, and so is guidance."""
    cond, scale = outputs["cond"], config.scale.at(step)
    if config.type == "perp-neg":
        weights = prior.negative_weights
        assert weights is not None  # since there are predictions of negatives
        guided = perp_neg(cond, outputs["uncond"], outputs["negatives"], weights.to(cond), scale)
    elif config.type == "three-way":
        guided = three_way(cond, outputs["image"], outputs["uncond"], scale, config.image_scale.at(step))
    else:
        guided = cond if "uncond" not in outputs else cfg(cond, outputs["uncond"], scale)
    views = prior.views_per_group if config.rescale_over == "group" else 1
    if "uncond" in outputs and config.rescale and config.rescale_space == "output":
        guided = rescale_group(guided, cond, config.rescale, views)
    epsilon, x0 = prior.epsilon(guided, noisy, timestep), prior.x0(guided, noisy, timestep)
    if config.rescale and config.rescale_space == "epsilon":
        epsilon = rescale_group(epsilon, prior.epsilon(cond, noisy, timestep), config.rescale, views)
        x0 = _x0(prior, epsilon, noisy, timestep)
    elif config.rescale and config.rescale_space == "x0":
        x0 = rescale_group(x0, prior.x0(cond, noisy, timestep), config.rescale, views)
        epsilon = epsilon_at("x0", x0, noisy, prior.level(timestep))
    return Prediction(epsilon, x0)


def _x0(prior: Prior, epsilon: Latents, noisy: Latents, timestep: Tensor) -> Latents:
    return x0_at("epsilon", epsilon, noisy, prior.level(timestep))
