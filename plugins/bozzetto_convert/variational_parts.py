"""Rules for VSD (ProlificDreamer): threestudio's network phi is a score's reference, an adapter of the guidance."""

from __future__ import annotations

from typing import Any

from bozzetto_convert.rules import UNSET, Changed, How, Key, Read, idle, same
from bozzetto_convert.score_parts import image_term, variational
from bozzetto_convert.values import only

OPTIMIZER = "system.optimizer"
ADAPTER_RATE = f"{OPTIMIZER}.params.guidance.lr"
OWN_NETWORK = "the adapter is one of the guidance's own network here"


def of_adapter(how: How | None = None) -> How:
    """Return a conversion for VSD alone: nothing is trained beside the scene otherwise."""
    return lambda value, read: UNSET if not variational(read) else how(value, read) if how else value


def _network(value: Any, read: Read) -> Any:
    same_network = value in (None, read("system.guidance.pretrained_model_name_or_path"))
    return UNSET if same_network else Changed(UNSET, OWN_NETWORK)


def _dropout(value: Any, read: Read) -> Any:
    return 0.1 if value else 0.0


def _samples(value: Any, read: Read) -> Any:
    return UNSET if value == 1 else Changed(value, "more steps of the adapter, instead of more timesteps in one step")


def _decay(value: Any, read: Read) -> Any:
    given = read(f"{OPTIMIZER}.args.weight_decay")
    return given if given is not None else 0.01 if value == "AdamW" else 0.0


def _lora(prefix: str, trained_without_camera: bool) -> tuple[Key, ...]:
    """Return the rules of the settings that both guidances of VSD have."""
    return (
        same(f"{prefix}lora_cfg_training", trained_without_camera, "score.reference.camera_dropout",
             how=of_adapter(_dropout), note="0.1 or 0"),
        same(f"{prefix}lora_n_timestamp_samples", 1, "score.reference.steps", how=of_adapter(_samples), fill=False),
        Key(f"{prefix}camera_condition_type", "extrinsics", how=only("extrinsics"), note="extrinsics"),
    )  # fmt: skip


LORA: tuple[Key, ...] = (
    Key("guidance_scale_lora", 1.0, how=only(1.0, 1), note="1"),
    Key("pretrained_model_name_or_path_lora", "stabilityai/stable-diffusion-2-1", how=_network, note=OWN_NETWORK),
    *_lora("", True),
    Key("use_img_loss", False, ("score.image_term",), image_term),
)
"""Settings of `stable-diffusion-vsd-guidance`."""
PHI: tuple[Key, ...] = (
    Key("vsd_phi_model_name_or_path", None, how=of_adapter(_network), note=OWN_NETWORK),
    Key("vsd_guidance_scale_phi", 1.0, how=only(1.0, 1), note="1"),
    Key("vsd_use_lora", True, how=of_adapter(only(True)), note="true"),
    Key("vsd_use_camera_condition", True, how=of_adapter(only(True)), note="true"),
    *_lora("vsd_", False),
    idle("weights", "belongs to VSD"),
)
"""Settings of the unified guidance."""
ADAPTER_OPTIMIZER: tuple[Key, ...] = (
    Key("params.guidance.lr", to=("score.reference.lr",), how=of_adapter(), note="VSD"),
    same("args.betas", [0.9, 0.999], "score.reference.betas", how=of_adapter(), note="VSD, beside the scene's"),
    same("name", "Adam", "score.reference.weight_decay", how=of_adapter(_decay), note="VSD: 0.01 of AdamW, else 0"),
)
"""Settings of the optimizer that are the adapter's, too."""
