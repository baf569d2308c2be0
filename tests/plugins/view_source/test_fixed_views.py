"""Tests of a fixed set of cameras."""

from __future__ import annotations

import pytest
import torch

from bozzetto.kinds.view_source import FixedViews as Protocol
from bozzetto.testing.view_source import ViewSourceContract
from bozzetto_plugins.view_source.config import FixedViewsConfig
from bozzetto_plugins.view_source.fixed_views import FixedViews

CPU = torch.device("cpu")


class TestContract(ViewSourceContract):
    def make(self) -> FixedViews:
        return FixedViews(
            FixedViewsConfig(views_per_ring=5, elevation_deg=(0.0, 30.0), batch_size=3, height=8, width=6)
        )


def test_rings_are_even_at_their_elevations_and_staggered() -> None:
    every = FixedViews(FixedViewsConfig(views_per_ring=4, elevation_deg=(0.0, 30.0))).every_camera(CPU)
    torch.testing.assert_close(every.elevation_deg, torch.tensor([0.0] * 4 + [30.0] * 4), atol=1e-3, rtol=0.0)
    azimuth_deg = torch.tensor([0.0, 90.0, 180.0, -90.0, 45.0, 135.0, -135.0, -45.0])
    apart = (every.azimuth_deg - azimuth_deg + 180.0) % 360.0 - 180.0
    torch.testing.assert_close(apart, torch.zeros(8), atol=1e-3, rtol=0.0)


def test_every_drawn_camera_is_one_of_them_bit_for_bit_and_all_are_drawn() -> None:
    source = FixedViews(FixedViewsConfig(views_per_ring=3, elevation_deg=(0.0, 40.0), batch_size=2))
    assert isinstance(source, Protocol)
    every, generator = source.every_camera(CPU).c2w, torch.Generator().manual_seed(0)
    seen = set()
    for step in range(40):
        same = (source.sample(step, generator).c2w[:, None] == every).flatten(2).all(dim=2)
        numbers = same.nonzero()[:, 1].tolist()
        assert len(set(numbers)) == 2
        seen |= set(numbers)
    assert seen == set(range(6))


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"batch_size": 31}, "batch_size: must be at most the number of views, 30"), ({"elevation_deg": ()}, "elevation_deg"),
     ({"elevation_deg": (5.0, 5.0)}, "different")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        FixedViewsConfig(**values)
