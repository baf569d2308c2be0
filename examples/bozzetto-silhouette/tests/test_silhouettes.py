"""Tests of `silhouettes`: the contract of an exporter, and reading its files with the loss."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from bozzetto.errors import ExportError
from bozzetto.testing.exporter import ExporterContract, sphere_scene
from bozzetto.testing.scenes import SoftSphere

from bozzetto_silhouette.config import SilhouettesConfig
from bozzetto_silhouette.masks import read_mask
from bozzetto_silhouette.silhouettes import Silhouettes


class TestSilhouettes(ExporterContract):
    def make(self) -> Silhouettes:
        return Silhouettes(SilhouettesConfig(views=3))


def test_what_it_writes_is_the_ball_and_can_be_read_as_a_mask(tmp_path: Path) -> None:
    exported = Silhouettes(SilhouettesConfig(views=4)).export(sphere_scene(), tmp_path, lambda line: None)
    assert [path.name for path in exported.files] == [f"silhouette-{azimuth:03d}.png" for azimuth in (0, 90, 180, 270)]
    mask = read_mask(str(exported.files[0]))
    assert float(mask[8, 8]) == 1.0 and float(mask[0, 0]) == 0.0
    assert exported.facts["shares_of_picture"][0] == pytest.approx(float(mask.mean()), abs=1e-4)


def test_an_empty_scene_says_what_to_change(tmp_path: Path) -> None:
    empty = dataclasses.replace(sphere_scene(), geometry=SoftSphere(density=1e-6))
    with pytest.raises(ExportError, match=r"Lower export\.silhouettes\.threshold"):
        Silhouettes(SilhouettesConfig()).export(empty, tmp_path, lambda line: None)


@pytest.mark.parametrize(("values", "field"), [({"views": 0}, "views"), ({"threshold": 1.0}, "threshold")])
def test_errors_name_the_field(values: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        SilhouettesConfig(**values)
