"""What a denoiser is told before it trains, each lesson once: what captions say, and what they look like on average."""

from __future__ import annotations

import json
import random

from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

import data
from bozzetto_plugins.guidance.draft_unet import DraftUNet
from draft_start import DraftSettings, draw_lesson, paints_nothing, teach_draft
from text_start import LessonSettings, says_nothing, teach_text


def teach(
    unet: DraftUNet, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, vae: AutoencoderKL, views: data.Views
) -> None:
    """Teach `unet`, in place, what it has not been taught. Freeze it after."""
    for pooling in (unet.add_embedding, unet.draft_text):
        if says_nothing(pooling, text_encoder, tokenizer):
            errors = teach_text(pooling, text_encoder, tokenizer, LessonSettings())
            print(json.dumps({"view_error": [round(error, 3) for error in errors[:: len(errors) // 5]]}), flush=True)
    if paints_nothing(unet):
        lesson = DraftSettings()
        pictures = draw_lesson(vae, views, unet, text_encoder, tokenizer, lesson, random.Random(0))
        errors = teach_draft(unet, pictures, lesson)
        print(json.dumps({"draft_error": errors[:: len(errors) // 5] + errors[-1:]}), flush=True)
