"""Tests that a tiny radiance field is fitted to a few small views, and stored unchanged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.types import Cameras
from bozzetto_plugins.priors.solid_memory import SolidMemory
from bozzetto_priors.training import train_radiance_fields
from bozzetto_priors.views.render_views import draw_cameras
from bozzetto_priors.views.training_views import Views

SIZE, COUNT, RADIUS = 16, 24, 0.6
RED = torch.tensor([0.8, 0.2, 0.1])


def ball() -> Views:
    """Return views of a red ball, the upper half of which takes paint."""
    rows = torch.from_numpy(draw_cameras(COUNT, seed=0))
    c2w = look_at_origin(spherical_position(*rows.T))
    fov = torch.full((COUNT,), 0.7)
    rays = Cameras(c2w, fov, SIZE, SIZE).rays()
    along = (rays.origin * rays.direction).sum(-1)
    inside = along.square() - rays.origin.square().sum(-1) + RADIUS**2
    hit = (inside > 0.0).float()[:, None]
    up = (rays.origin + (-along - inside.clamp(min=0.0).sqrt())[:, None] * rays.direction)[:, 2:]
    takes = hit * (up > 0.0)
    channels = torch.cat([RED * hit, hit, takes, RED * takes, 0.8 * takes], dim=1)
    box = torch.tensor([[-RADIUS] * 3, [RADIUS] * 3])
    return Views((255.0 * channels).round().to(torch.uint8).view(COUNT, SIZE, SIZE, 9), c2w, fov, box)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return a small grid and a small number of steps."""
    spec = GridSpec.up_to(12, levels=2, features=2, log2_table_size=11, base_resolution=6)
    for name, value in {
        "SPEC": spec, "WIDTH": 8, "CELLS": 16, "STEP_SIZE": 0.05, "STEPS": 90, "FIRST_STEPS": 30, "RAYS": 512,
    }.items():  # fmt: skip
        monkeypatch.setattr(train_radiance_fields, name, value)


@pytest.fixture
def learned(tiny: None) -> tuple[train_radiance_fields.Solid, Views]:
    views = ball()
    return train_radiance_fields.fit(views, seed=0), views


def remembered(solid: train_radiance_fields.Solid) -> SolidMemory:
    memory = SolidMemory(
        1,
        train_radiance_fields.SPEC,
        train_radiance_fields.WIDTH,
        train_radiance_fields.CELLS,
        train_radiance_fields.STEP_SIZE,
    )
    memory.load_state_dict({name: value[None] for name, value in solid.state().items()})
    return memory.half()


def test_a_ball_is_learned_painted_and_remembered(learned: tuple[train_radiance_fields.Solid, Views]) -> None:
    solid, views = learned
    assert train_radiance_fields.psnr(solid, views) > 20.0
    assert 0.1 < solid.occupied.float().mean() < 0.9  # the corners of the box are empty
    memory, view = remembered(solid), views.held_out[0]
    rays = Cameras(views.c2w[view : view + 1], views.fov_y_rad[view : view + 1], SIZE, SIZE).rays()
    with torch.no_grad():
        seen = solid.render(rays.origin, rays.direction).channels.view(SIZE, SIZE, 9)
    own = memory.draw(torch.tensor([0]), rays, torch.zeros(1, 3), torch.zeros(1))
    torch.testing.assert_close(own.colour[0], seen[..., :3], rtol=0.0, atol=0.02)
    torch.testing.assert_close(own.opacity[0], seen[..., 3:4], rtol=0.0, atol=0.02)
    blue = torch.tensor([[0.0, 0.0, 1.0]])
    painted = memory.draw(torch.tensor([0]), rays, blue, torch.ones(1)).colour[0]
    takes = views.targets[view, ..., 4] > 0
    assert blueness(painted, takes) > 0.2 > -0.2 > blueness(own.colour[0], takes)


def blueness(picture: Tensor, where: Tensor) -> float:
    """Return the mean difference of blue and red of some pixels."""
    return float((picture[..., 2] - picture[..., 0])[where].mean())


def test_what_is_kept_fits_bytes(tiny: None) -> None:
    solid = train_radiance_fields.Solid.new(ball().box, torch.Generator().manual_seed(0))
    kept = solid.state()
    assert kept["table"].dtype == torch.int8 and kept["table"].abs().max() == 127
    assert kept["occupied"].dtype == torch.uint8 and kept["occupied"].min() == 255  # the whole box, initially
    torch.testing.assert_close(kept["half_side"], torch.full((3,), RADIUS + train_radiance_fields.MARGIN))
    memory = remembered(solid)
    assert memory.occupancy(torch.tensor(0)).all()
    torch.testing.assert_close(memory.features(torch.tensor(0)), solid.table.detach(), rtol=0.0, atol=1e-4)


def test_occupied_cells_are_stored_where_they_are(tiny: None) -> None:
    solid = train_radiance_fields.Solid.new(ball().box, torch.Generator().manual_seed(0))
    solid.occupied = torch.rand(16, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.3
    assert torch.equal(remembered(solid).occupancy(torch.tensor(0)), solid.occupied)
    lone = torch.zeros(16, 16, 16, dtype=torch.bool)
    lone[4, 0, 4] = True
    assert train_radiance_fields.grown(lone).sum() == 3 * 2 * 3


def test_the_rate_rises_stays_and_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [train_radiance_fields.rate_at(step) for step in (0, 30, 90, train_radiance_fields.STEPS)]
    assert rates == pytest.approx([1 / 30, 1.0, 1.0, 0.05])


def test_errors_count_over_any_page_and_fog_costs() -> None:
    true = torch.tensor([[0.5, 0.5, 0.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    page = torch.tensor([[0.0, 1.0, 0.0]])
    assert train_radiance_fields.loss_of(true, true, 0.0, page) == 0.0
    fog = torch.zeros_like(true)
    fog[:, 3] = 0.5
    plain, costly = (train_radiance_fields.loss_of(fog, true, sharpness, page) for sharpness in (0.0, 1.0))
    assert (costly - plain).item() == pytest.approx(0.6931, abs=1e-3)
