"""Tests of densification: images are conserved, rows are removed exactly, and the optimiser's state moves with them."""

from __future__ import annotations

import math

import pytest
import torch
from bozzetto.kinds.geometry import Adaptive, RowChange
from torch import Tensor

from bozzetto_gsplat.cloud import Cloud
from bozzetto_gsplat.config import GaussiansConfig
from bozzetto_gsplat.densification import SPLIT_SHRINK, planned, shared_opacity, split_opacity
from bozzetto_gsplat.gaussians import Gaussians
from bozzetto_gsplat.rasterize_torch import rasterize

ALWAYS = {"densify_every": 1, "densify_from_step": 0, "densify_until_step": 10**6, "densify_share": 1.0}


def hand_made(opacity: list[float], size: float, **options: float) -> Gaussians:
    """Return isotropic Gaussians at the origin and beside it on the y axis, 0.6 apart, all of which densify."""
    count = len(opacity)
    torch.manual_seed(0)
    geometry = Gaussians(GaussiansConfig(count=count, **{**ALWAYS, **options}))
    with torch.no_grad():
        geometry.position.copy_(torch.tensor([[0.0, 0.6 * i, 0.0] for i in range(count)]))
        geometry.log_scale.fill_(math.log(size))
        geometry.opacity_logit.copy_(torch.logit(torch.tensor(opacity)))
        geometry.feature.copy_(torch.arange(count)[:, None].expand(count, 3))
    return geometry


def changes_of(geometry: Gaussians, lengths: list[float], seed: int = 0) -> dict[str, RowChange]:
    """Return the changes after one step with position gradients of these lengths."""
    geometry.position.grad = torch.tensor(lengths)[:, None] * torch.tensor([0.0, 0.6, -0.8])
    changes = geometry.adapt(1, torch.Generator().manual_seed(seed))
    assert changes is not None and set(changes) == {name for name, _ in geometry.named_parameters()}
    return dict(changes)


def adapted(geometry: Gaussians, lengths: list[float], seed: int = 0) -> Cloud:
    """Return the Gaussians after one densification."""
    for name, change in changes_of(geometry, lengths, seed).items():
        setattr(geometry, name, torch.nn.Parameter(change.values))
    return geometry.cloud()


def opacity_of(cloud: Cloud, scenes) -> Tensor:
    camera = scenes.camera(height=41, width=41, fov_y_rad=0.4)
    return rasterize(cloud, torch.ones(1, len(cloud), 1), camera).opacity[0, ..., 0].detach()


@pytest.mark.parametrize("opacity", [0.2, 0.5, 0.9])
def test_a_clone_conserves_the_image(scenes, opacity: float) -> None:
    """Exactly at the centre; elsewhere two shares o' cover o'^2 g (1 - g) more than o g: at most o'^2 / 4.

    Beyond the radius at which a share is fainter than 1/255 it is not drawn.
    """
    geometry = hand_made([opacity, opacity], 0.1, split_above=0.2)
    before = opacity_of(geometry.cloud(), scenes)
    cloud, each = adapted(geometry, [1.0, 1.0]), 1.0 - math.sqrt(1.0 - opacity)
    assert len(cloud) == 4 and bool((before > 0.1).any())
    torch.testing.assert_close(cloud.opacity.detach(), torch.full((4,), each))
    after = opacity_of(cloud, scenes)
    assert float((after - before).max()) <= 0.25 * each**2 + 1e-4
    assert float((before - after).max()) <= 2.0 / 255.0
    torch.testing.assert_close(after[20, 20], before[20, 20], atol=1e-4, rtol=1e-4)


def test_splits_conserve_the_expected_image(scenes) -> None:
    """The mean image over 200 draws is that of the one Gaussian, within 0.05 of its opacity 0.4 in every pixel."""
    images = []
    for seed in range(200):
        geometry = hand_made([0.4, 1e-6], 0.15, split_above=0.1, prune_opacity=0.0)
        before = opacity_of(geometry.cloud(), scenes)
        cloud = adapted(geometry, [1.0, 0.0], seed)
        assert len(cloud) == 3
        torch.testing.assert_close(cloud.position[1:].mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0.0)
        torch.testing.assert_close(cloud.scale[1:].detach(), torch.full((2, 3), 0.15 / SPLIT_SHRINK))
        images.append(opacity_of(cloud, scenes))
    mean = torch.stack(images).mean(dim=0)
    assert float((mean - before).abs().max()) < 0.05
    assert float(mean.sum()) == pytest.approx(float(before.sum()), rel=0.06)


def test_opacities_of_shares_and_parts() -> None:
    opacity = torch.tensor([0.0, 0.3, 0.9])
    for count in (2, 3):
        torch.testing.assert_close(1.0 - (1.0 - shared_opacity(opacity, count)) ** count, opacity)
    torch.testing.assert_close(split_opacity(opacity), torch.tensor([0.0, 0.384, 0.99]))


def test_pruning_removes_exactly_the_faint_and_those_outside() -> None:
    geometry = hand_made([0.5, 0.004, 0.006, 0.5, 0.001], 0.1, densify_share=0.0, prune_opacity=0.005)
    with torch.no_grad():
        geometry.position.mul_(0.3)
        geometry.position[3, 2] = -1.01  # outside of the cube, where it is not drawn
    before = {name: value.detach().clone() for name, value in geometry.named_parameters()}
    for name, change in changes_of(geometry, [1.0] * 5).items():
        assert torch.equal(change.values, before[name][[0, 2]]), name
        assert change.source.tolist() == [0, 2] and not change.fresh.any()
    assert len(geometry.gradient_sum) == 2 and not geometry.gradient_sum.any()


def test_at_least_two_stay() -> None:
    geometry = hand_made([0.5, 0.001, 0.002], 0.1, densify_share=0.0)
    geometry.position.grad = torch.ones(3, 3)
    assert geometry.adapt(1, torch.Generator()) is None


class TestChoice:
    def test_the_largest_gradients_are_chosen_among_those_that_stay(self) -> None:
        geometry = hand_made([0.5] * 6, 0.1)
        with torch.no_grad():
            geometry.position.mul_(0.2)
            geometry.log_scale[1, 2] = math.log(0.3)
            geometry.opacity_logit[5] = -9.0
        plan = planned(geometry.cloud(), torch.tensor([0.1, 3.0, 2.0, 0.0, 0.3, 9.0]), 0.4, 0.2, 0.005, 100)
        assert plan.stay.tolist() == [0, 2, 3, 4] and plan.cloned.tolist() == [2] and plan.split.tolist() == [1]
        assert plan.source.tolist() == [0, 2, 3, 4, 2, 1, 1]
        assert plan.fresh.tolist() == [False] * 4 + [True] * 3

    @pytest.mark.parametrize(("most", "count"), [(3, 4), (4, 4), (5, 5), (100, 8)])
    def test_the_number_is_bounded(self, most: int, count: int) -> None:
        cloud = hand_made([0.5] * 4, 0.1).cloud()
        for above in (0.0, 1.0):
            assert len(planned(cloud, torch.arange(4) + 1.0, 1.0, above, 0.0, most).source) == count

    def test_what_no_view_has_seen_stays(self) -> None:
        plan = planned(hand_made([0.5] * 4, 0.1).cloud(), torch.tensor([0.0, 0.0, 1.0, 0.0]), 1.0, 1.0, 0.0, 100)
        assert plan.cloned.tolist() == [2] and len(plan.stay) == 4

    def test_it_is_the_mean_over_the_steps_with_a_gradient(self) -> None:
        """Seen once, strongly, is more than seen in each step."""
        geometry = hand_made([0.5] * 2, 0.1, densify_every=4, densify_from_step=4, split_above=1.0, densify_share=0.5)
        changes = None
        for done, lengths in enumerate(([1.0, 3.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]), start=1):
            assert changes is None
            geometry.position.grad = torch.tensor(lengths)[:, None] * torch.tensor([0.0, 0.6, -0.8])
            changes = geometry.adapt(done, torch.Generator())
        assert changes is not None and changes["position"].source.tolist() == [0, 1, 1]


class TestTimes:
    def test_nothing_is_accumulated_or_drawn_without_densification(self) -> None:
        geometry = Gaussians(GaussiansConfig(count=4))
        assert isinstance(geometry, Adaptive)
        geometry.position.grad = torch.ones(4, 3)
        draw = torch.Generator().manual_seed(0)
        before = draw.get_state()
        assert all(geometry.adapt(done, draw) is None for done in range(1, 200))
        assert torch.equal(draw.get_state(), before) and not geometry.gradient_sum.any()

    def test_the_window_has_a_first_step_and_an_end(self) -> None:
        config = GaussiansConfig(count=4, densify_every=10, densify_from_step=20, densify_until_step=50)
        assert [done for done in range(1, 100) if config.densifies(done)] == [20, 30, 40]
        assert config.last_densification == 40

    def test_what_is_accumulated_before_the_window_is_forgotten(self) -> None:
        geometry = hand_made([0.5] * 2, 0.1, densify_every=2, densify_from_step=4)
        for done in (1, 2):
            geometry.position.grad = torch.ones(2, 3)
            assert geometry.adapt(done, torch.Generator()) is None
            assert bool(geometry.gradient_sum.any()) == (done == 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"densify_share": 0.2}, "densify_share: has no effect while densify_every is 0"),
        ({"most_gaussians": 9}, "most_gaussians: has no effect"),
        (
            {"densify_every": 100, "densify_from_step": 101, "densify_until_step": 200},
            "densify_until_step: no multiple",
        ),
        ({"densify_every": 100, "count": 50, "most_gaussians": 49}, r"most_gaussians: must be at least count \(50\)"),
        ({"densify_every": 100, "densify_share": 0.0, "prune_opacity": 0.0}, "densify_share: must be above 0"),
        ({"densify_every": 100, "densify_share": math.nan}, "densify_share: must lie in"),
        ({"densify_every": 100, "prune_opacity": 1.0}, "prune_opacity: must lie in"),
        ({"densify_every": -1}, "densify_every: must lie in"),
    ],
)
def test_what_cannot_act_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussiansConfig(**values)
