"""Recipes with threestudio's keys, and a registry to convert them with."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bozzetto_convert.threestudio_recipe import Source, read

RECIPES = Path(__file__).parent / "threestudio"


class Theirs:
    """Factory of threestudio recipes in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, values: object, name: str = "theirs.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return path

    def source(self, values: object, *overrides: str) -> Source:
        return read(self.file(values), overrides)

    def minimal(self, **system: object) -> dict:
        """Return a minimal threestudio recipe."""
        types = {
            "geometry_type": "implicit-volume",
            "material_type": "no-material",
            "background_type": "solid-color-background",
            "renderer_type": "nerf-volume-renderer",
            "prompt_processor_type": "stable-diffusion-prompt-processor",
            "prompt_processor": {"prompt": "a hamburger"},
            "guidance_type": "stable-diffusion-guidance",
            "loss": {"lambda_sds": 1.0},
        }
        return {
            "data_type": "random-camera-datamodule",
            "system_type": "dreamfusion-system",
            "system": types | system,
            "trainer": {"max_steps": 100},
        }


@pytest.fixture
def theirs(tmp_path):
    return Theirs(tmp_path)
