import pytest
import torch

from bozzetto.testing.background import BackgroundContract
from bozzetto.testing.scenes import cameras_around
from bozzetto_plugins.background.config import SolidConfig
from bozzetto_plugins.background.solid import Solid


class TestSolid(BackgroundContract):
    def make(self) -> Solid:
        return Solid(SolidConfig(color=(0.1, 0.2, 0.3)))


def test_it_is_its_color() -> None:
    color = Solid(SolidConfig(color=(0.1, 0.2, 0.3)))(cameras_around(1, size=2).rays(), None)
    torch.testing.assert_close(color, torch.tensor([[0.1, 0.2, 0.3]]).expand(4, 3))


def test_a_color_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"^color\[2\]: must lie in \[0, 1\], got 255"):
        SolidConfig(color=(0.0, 0.0, 255.0))
