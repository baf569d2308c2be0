"""Tests of `zero123` with a memory: the photo is recalled once, and rendered from the target cameras."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.plugins.conftest import placed
from torch import Tensor

from bozzetto.errors import ModelError
from bozzetto.kinds.guidance import Guidance
from bozzetto.math.guidance import cfg
from bozzetto.math.schedules import Schedule
from bozzetto.testing.fakes import a_photo, cameras_around
from bozzetto.testing.guidance import GuidanceContract
from bozzetto.types import Reference, ViewCondition
from bozzetto_plugins.guidance.config import Zero123Config
from bozzetto_plugins.guidance.zero123 import Zero123
from bozzetto_plugins.priors import photo_recall
from bozzetto_plugins.priors.camera_denoiser import NOTHING, camera_numbers, recalled_of
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.solid_fit import numbers_of

CPU = torch.device("cpu")
BASE = Zero123Config(model="tiny", dtype="float32", cfg_scale=Schedule.constant(1.0))
Photograph = Callable[..., Reference]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the fitting of photos, for tests that do not depend on the result."""
    for name, value in (
        ("ROUGH", ()),
        ("FINE", ()),
        ("TURNS_RAD", ()),
        ("SEARCH_SIDE", 8),
        ("HYPOTHESES", 1),
        ("BELIEVED", 0),
    ):
        monkeypatch.setattr(photo_recall, name, value)


@pytest.mark.usefixtures("hasty")
class TestContract(GuidanceContract):
    reads_text = False

    @pytest.fixture(autouse=True)
    def _folder(self, solids_folder: Path) -> None:
        self.folder = solids_folder

    def make(self) -> Zero123:
        return Zero123(BASE, self.folder, CPU)

    def condition(self, guidance: Guidance) -> ViewCondition:
        return self.conditions(guidance)[0]

    def conditions(self, guidance: Guidance) -> tuple[ViewCondition, ViewCondition]:
        none = torch.zeros(2, 0, 16)
        disc = a_photo()
        half = replace(disc, mask=disc.mask * (torch.arange(16) < 8)[None, :, None])
        photos = (disc, half)
        first, second = (ViewCondition(none, none, references=(photo,)) for photo in photos)
        return first, second


def one_step(guidance: Zero123, photo: Reference, azimuth_deg: float, scale: float = 1.0) -> Tensor:
    """Return the image "3 S S" predicted at pure noise."""
    photos, cameras = guidance.encoded((photo,)), cameras_around([azimuth_deg], 20.0, 32)
    denoiser = guidance.denoiser
    noisy = torch.randn(1, 48, 8, 8, generator=torch.Generator().manual_seed(0))
    last = torch.tensor([denoiser.train_steps - 1])
    outputs = guidance.outputs(noisy, last, photos, guidance.views(photos, cameras), ["cond", "uncond"])
    return denoiser.decode(denoiser.x0(cfg(outputs["cond"], outputs["uncond"], scale), noisy, last))[0]


def test_it_expects_the_recalled_thing_as_each_camera_sees_it(
    solids_folder: Path, solids_unet: CameraUNet, photograph: Photograph
) -> None:
    true = placed(1, 45.0)
    guidance, photo = Zero123(BASE, solids_folder, CPU), photograph(true, cameras_around([0.0], 20.0))
    for azimuth in (0.0, 90.0, 200.0):
        drawn = solids_unet.draw(true, camera_numbers(cameras_around([azimuth], 20.0, 32)))
        wanted = (drawn.colour + 1.0 - drawn.opacity)[0].permute(2, 0, 1)
        assert (one_step(guidance, photo, azimuth) - wanted).abs().mean() < 0.03


@pytest.mark.usefixtures("hasty")
def test_without_a_photo_it_expects_nothing(solids_folder: Path) -> None:
    guidance = Zero123(BASE, solids_folder, CPU)
    assert recalled_of(torch.zeros(1, 16), 4).thing.tolist() == [NOTHING]
    with_photo, pushed = (one_step(guidance, a_photo(), 0.0, scale) for scale in (1.0, 3.0))
    assert (pushed - with_photo).abs().max() > 0.1, "guidance without classifier leaves the thing out"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_is_recalled_is_exact_in_half_precision(solids_folder: Path, dtype: str) -> None:
    guidance = Zero123(replace(BASE, dtype=dtype), solids_folder, CPU)
    (photo,) = guidance.encoded((a_photo(),))
    token = guidance.views((photo,), cameras_around([30.0])).tokens[0]
    torch.testing.assert_close(token[0, 0, :12], photo.embedding[0], rtol=1e-6, atol=1e-6)
    found = guidance.denoiser.unet.recall(token)
    torch.testing.assert_close(numbers_of(found)[0], photo.embedding[0, 5])


def test_numbers_tell_all(solids_unet: CameraUNet) -> None:
    told = placed(3, 30.0, (1.2, 0.9, 1.1), (0.1, 0.0, -0.1), (0.3, 0.4, 0.5))
    back = recalled_of(told.numbers(), 4)
    for one, other in zip((*told[:3], *told.placement), (*back[:3], *back.placement), strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(ValueError, match="requires a placement"):
        told._replace(placement=None).numbers()


def test_the_elevation_is_the_one_that_fits_best(solids_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guidance = Zero123(BASE, solids_folder, CPU)
    assert guidance.recall is not None

    def errors(photo: Reference, candidates_deg: Sequence[float]) -> Tensor:
        return (torch.tensor(candidates_deg) - 33.0).square()

    monkeypatch.setattr(guidance.recall, "errors_of_elevations", errors)
    assert guidance.estimate_elevation_deg(a_photo(), torch.Generator().manual_seed(0)) == 33.0


def test_parts_of_different_models_are_refused(solids_folder: Path, zero123_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(solids_folder, tmp_path / "model"))
    shutil.rmtree(folder / "clip_camera_projection")
    shutil.copytree(zero123_folder / "clip_camera_projection", folder / "clip_camera_projection")
    with pytest.raises(ModelError, match="has 12 numbers and a pose 4"):
        Zero123(BASE, folder, CPU)
