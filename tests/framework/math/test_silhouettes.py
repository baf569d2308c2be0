import pytest
import torch

from bozzetto.math.silhouettes import edge_band, edge_softness, overlap


def ramp(width):
    """Return a vertical edge in the middle of 32 columns that falls from 1 to 0 over `width` pixels."""
    column = torch.arange(32) + 0.5
    return ((16.0 + 0.5 * width - column) / width).clamp(0.0, 1.0).expand(1, 32, 32)[..., None]


def test_overlap():
    a, b = torch.tensor([True, True, False]), torch.tensor([False, True, True])
    assert overlap(a, b) == pytest.approx(1.0 / 3.0)
    assert overlap(a, a) == 1.0 and overlap(~a, a) == 0.0
    nothing = torch.zeros(3, dtype=torch.bool)
    assert overlap(nothing, nothing) == 1.0


def test_the_band_is_as_wide_as_asked():
    band = edge_band(ramp(1.0)[..., 0] >= 0.5, distance=3)
    assert band[0, 0].nonzero()[:, 0].tolist() == [13, 14, 15, 16, 17, 18]


def test_a_sharp_cut_is_not_soft_and_a_fog_is():
    assert edge_softness(ramp(1.0)) == 0.0
    # Over 6 pixels: opacities 11/12, 9/12, 7/12 and their mirror images; the mean of min(o, 1 - o) is 3/12.
    assert edge_softness(ramp(6.0)) == pytest.approx(3.0 / 12.0, abs=1e-5)
    assert edge_softness(ramp(2.0)) < edge_softness(ramp(4.0)) < edge_softness(ramp(6.0))


def test_without_an_edge_there_is_no_softness():
    assert edge_softness(torch.zeros(1, 8, 8, 1)) == edge_softness(torch.ones(1, 8, 8, 1)) == 0.0
