from dataclasses import replace

import torch

from bozzetto.testing.background import BackgroundContract
from bozzetto.testing.scenes import cameras_around
from bozzetto_plugins.background.config import RandomSolidConfig
from bozzetto_plugins.background.random_solid import RandomSolid


class TestRandomSolid(BackgroundContract):
    def make(self) -> RandomSolid:
        return RandomSolid(RandomSolidConfig(white_probability=0.5))


def test_one_color_a_view_and_another_for_the_next() -> None:
    color = RandomSolid(RandomSolidConfig())(cameras_around(3, size=4).rays(), torch.Generator().manual_seed(0))
    views = color.view(3, 16, 3)
    assert torch.equal(views, views[:, :1].expand_as(views))
    assert len(torch.unique(views[:, 0], dim=0)) == 3


def test_the_share_of_white() -> None:
    background = RandomSolid(RandomSolidConfig(white_probability=0.25))
    color = background(cameras_around(2000, size=1).rays(), torch.Generator().manual_seed(0))
    assert abs(float((color == 1.0).all(dim=-1).float().mean()) - 0.25) < 0.05


def test_people_see_the_eval_color() -> None:
    background = RandomSolid(RandomSolidConfig(eval_color=(0.0, 0.5, 1.0)))
    color = background(cameras_around(1, size=2).rays(), None)
    torch.testing.assert_close(color, torch.tensor([[0.0, 0.5, 1.0]]).expand(4, 3))


def test_one_color_a_group_and_another_for_the_next() -> None:
    rays = replace(cameras_around(6, size=4), views_per_group=3).rays()
    color = RandomSolid(RandomSolidConfig())(rays, torch.Generator().manual_seed(0)).view(2, 3 * 16, 3)
    assert torch.equal(color, color[:, :1].expand_as(color))
    assert len(torch.unique(color[:, 0], dim=0)) == 2
