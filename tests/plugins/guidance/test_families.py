"""Tests of the class selected by a folder's configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from diffusers import AutoencoderKL, UNet2DConditionModel

from bozzetto_plugins.guidance.families import OURS, family_of
from bozzetto_plugins.guidance.network_classes import NETWORKS
from bozzetto_plugins.priors.camera_network import CameraNetwork
from bozzetto_plugins.priors.pixel_codec import PixelCodec


@pytest.mark.parametrize(
    ("part", "named", "family"),
    [
        ("unet", "CameraUNet", CameraNetwork),
        ("vae", "PatchCodec", PixelCodec),
        ("unet", "UNet2DConditionModel", UNet2DConditionModel),
        ("unet", "AnotherUNet", UNet2DConditionModel),
        ("vae", None, AutoencoderKL),
        ("unet", ["CameraUNet"], UNet2DConditionModel),
    ],
)
def test_ours_are_known_by_their_names(tmp_path: Path, part: str, named: object, family: type) -> None:
    (tmp_path / part).mkdir()
    (tmp_path / part / "config.json").write_text(json.dumps({"_class_name": named}))
    assert family_of(tmp_path / part) is family


@pytest.mark.parametrize("text", [None, "{", "[1]", "\xff"])
def test_of_unreadable_settings_the_usual_class_tells(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "unet").mkdir()
    if text is not None:
        (tmp_path / "unet" / "config.json").write_text(text, encoding="latin-1")
    assert family_of(tmp_path / "unet") is UNet2DConditionModel


def test_other_models_are_diffusers_own(tiny_folder: Callable[..., Path]) -> None:
    assert family_of(tiny_folder() / "unet") is UNet2DConditionModel
    assert family_of(tiny_folder() / "vae") is AutoencoderKL


def test_a_check_lets_pass_what_can_be_loaded() -> None:
    named = {*OURS, UNet2DConditionModel.__name__, AutoencoderKL.__name__}
    assert {*NETWORKS["unet"], *NETWORKS["vae"]} == named
