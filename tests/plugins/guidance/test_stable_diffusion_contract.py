"""Contract tests of `stable-diffusion` with a scalar loss, with a given gradient, and with exact cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bozzetto.testing.guidance import GuidanceContract
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion


class TestTarget(GuidanceContract):
    sds_form = "target"

    @pytest.fixture(autouse=True)
    def _folder(self, tiny_folder: Callable[..., Path]) -> None:
        self.folder = tiny_folder()

    def make(self) -> StableDiffusion:
        config = StableDiffusionConfig(model="tiny", dtype="float32", sds_form=self.sds_form)
        return StableDiffusion(config, self.folder, torch.device("cpu"))


class TestBackward(TestTarget):
    sds_form = "backward"


class TestCameras(TestTarget):
    @pytest.fixture(autouse=True)
    def _folder(self, camera_folder: Path) -> None:
        self.folder = camera_folder
