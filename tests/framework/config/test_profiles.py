"""Tests of the choice of a profile, and of profiles for GPUs of some memory."""

from pathlib import Path

import pytest

from bozzetto.config.profiles import base_of, choose_profile
from bozzetto.errors import ConfigError
from bozzetto.machine.accelerators import Accelerator

NAMES = ["cuda", "cuda-24gb", "cuda-8gb", "cuda-12gb", "cpu", "my-gb"]
PATH = Path("recipe.yaml")


def card(gb: float | None) -> Accelerator:
    return Accelerator("cuda", "1 CUDA device found", None if gb is None else int(gb * 2**30))


@pytest.mark.parametrize("asked", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("gb", "chosen"),
    [
        (4.0, "cuda-8gb"), (7.6, "cuda-8gb"), (11.0, "cuda-8gb"), (11.6, "cuda-12gb"), (16.0, "cuda-12gb"),
        (23.6, "cuda-24gb"), (139.0, "cuda-24gb"),
    ],
)  # fmt: skip
def test_the_memory_of_the_gpu_chooses_and_the_reason_says_so(asked, gb, chosen):
    name, reason = choose_profile(NAMES, asked, card(gb), PATH)
    assert name == chosen and f"a GPU of {round(gb)} GB" in reason and chosen not in reason.partition("others")[2]


def test_a_tier_by_name_stays_and_without_a_known_memory_the_profile_of_the_device_is_used():
    assert choose_profile(NAMES, "cuda-8gb", card(24), PATH) == ("cuda-8gb", "chosen with --profile")
    assert choose_profile(NAMES, "cuda", card(None), PATH)[0] == "cuda"
    assert choose_profile(NAMES, "cuda", Accelerator("cpu", "no GPU"), PATH)[0] == "cuda"
    assert choose_profile(["cuda", "cpu"], "auto", card(8), PATH) == ("cuda", "1 CUDA device found")


def test_a_tier_names_its_base():
    assert [base_of(name) for name in NAMES] == ["cuda", "cuda", "cuda", "cuda", "cpu", "my-gb"]


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'cuda-12gb'"):
        choose_profile(NAMES, "cuda-12g", None, PATH)
