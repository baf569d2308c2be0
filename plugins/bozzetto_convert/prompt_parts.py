"""Rules for threestudio's prompt processors."""

from __future__ import annotations

from typing import Any

from bozzetto_convert import score_parts as score
from bozzetto_convert.rules import UNSET, Changed, Key, Part, Read, idle, lost, same, with_defaults
from bozzetto_convert.values import front_deg, or_unset, written_out

DEBIASING = "words are not removed from prompts here"


def _template(value: Any, read: Read) -> Any:
    if value:
        return Changed("{view} view of {prompt}", "its 'backside view of' is 'back view of' here")
    return UNSET


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
    same("use_perp_neg", False, "score.guider.type", "guidance.guider", how=score.guider, note="`perp-neg`"),
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
