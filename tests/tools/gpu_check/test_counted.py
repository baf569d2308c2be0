"""Tests of the memory that is worked out without values: tiny networks, whose bytes are those of real ones."""

import pytest
import torch

from bozzetto.machine.accelerators import Accelerator
from bozzetto.machine.gpu_memory import CONTEXT_BYTES
from bozzetto.math.constants import constant
from bozzetto_plugins.guidance.photo_tokens import CLIP_MEAN
from gpu_check import counted
from gpu_check.families import IMAGEDREAM, MVDREAM
from gpu_check.latent_models import CONTROLLED, EDIT, THREE_WAY
from gpu_check.priors import loop_of

CPU, FOUND = torch.device("cpu"), Accelerator("cpu", "a test")


@pytest.mark.parametrize("prior", [MVDREAM, IMAGEDREAM, EDIT, THREE_WAY, CONTROLLED], ids=lambda prior: prior.name)
def test_the_networks_are_those_of_a_step_in_half_precision(registry, tmp_path, prior):
    row = counted.checked(prior, registry, tmp_path / "counted", tiny=True)
    _, _, made = loop_of(prior, registry, tmp_path / "made", FOUND, CPU, tiny=True)
    full = sum(size for name, size in made.items() if name != "image_prompt")  # float32; the prompt's is half as it is
    assert row["network_bytes"] == full // 2 + made.get("image_prompt", 0)
    assert (row["kept_bytes"] > 0) == (prior is not EDIT) and row["predicting_bytes"] > 0 < row["encoding_bytes"]
    passing = max(row["kept_bytes"] + row["predicting_bytes"], row["encoding_bytes"])
    assert row["total_bytes"] > row["network_bytes"] + passing + row["scene_bytes"] + CONTEXT_BYTES
    assert type(constant(CLIP_MEAN, CPU)) is torch.Tensor, "no constant without values is kept"


def test_an_edit_keeps_nothing_and_a_score_of_editing_keeps_its_encoding(registry, tmp_path):
    edit, score = (
        counted.checked(prior, registry, tmp_path / prior.recipe / prior.name, tiny=True) for prior in (EDIT, THREE_WAY)
    )
    assert edit["kept_bytes"] == 0 < score["kept_bytes"] and edit["network_bytes"] == score["network_bytes"]
    assert edit["encoding_bytes"] < score["encoding_bytes"] and edit["views"] == 1
