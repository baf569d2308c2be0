import dataclasses

import pytest
import torch

from bozzetto.testing.geometry import GeometryContract
from bozzetto_plugins.geometry.config import FrequencyMlpConfig
from bozzetto_plugins.geometry.frequency_mlp import FrequencyMlp

SMALL = FrequencyMlpConfig(frequencies=4, width=16, depth=3)


def small(**changes: object) -> FrequencyMlp:
    return FrequencyMlp(dataclasses.replace(SMALL, **changes))


class TestAnalytic(GeometryContract):
    def make(self) -> FrequencyMlp:
        return small()


class TestExp(GeometryContract):
    def make(self) -> FrequencyMlp:
        return small(density_activation="exp", density_bias="blob-dreamfusion", radius=2.0)


class TestFiniteDifference(GeometryContract):
    def make(self) -> FrequencyMlp:
        return small(normal="finite-difference")


class TestPredicted(GeometryContract):
    normals_follow_density = False

    def make(self) -> FrequencyMlp:
        return small(normal="predicted")


class TestDefaults(GeometryContract):
    def make(self) -> FrequencyMlp:
        return FrequencyMlp(FrequencyMlpConfig())


def test_depth_counts_hidden_layers():
    geometry = small(depth=1)
    assert len(geometry.trunk) == 2
    assert len(small(depth=5).trunk) == 6


def test_optimiser_groups_by_prefix():
    names = {name.split(".")[0] for name, _ in small(normal="predicted").named_parameters()}
    assert names == {"trunk", "density_network", "feature_network", "normal_network"}


def test_a_new_field_is_its_blob():
    geometry = small(density_bias="blob-magic3d", blob_scale=10.0, blob_std=0.5)
    at = torch.tensor([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0], [0.0, 0.3, -0.4]])
    expected = torch.nn.functional.softplus(torch.tensor([10.0, 5.0, 0.0]))
    torch.testing.assert_close(geometry.density(at), expected, atol=1e-4, rtol=0.0)


def test_opposite_faces_differ():
    faces = torch.tensor([[1.0, 0.2, 0.3], [-1.0, 0.2, 0.3]])
    features = small()(faces).features
    assert not torch.allclose(features[0], features[1])


def test_density_runs_no_other_network():
    geometry = small(normal="predicted")
    for network in (geometry.feature_network, geometry.normal_network):
        network.register_forward_pre_hook(lambda *_: pytest.fail("runs"))
    assert geometry.density(torch.zeros(2, 3)).shape == (2,)


def test_there_is_no_total_variation():
    assert small().total_variation() == 0.0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"frequencies": 0}, "frequencies: must lie in [1, 16], got 0"),
        ({"width": 0}, "width: must lie in [1, 4096], got 0"),
        ({"depth": 0}, "depth: must lie in [1, 64], got 0"),
        ({"finite_difference_eps": 0.0}, "finite_difference_eps: must lie in [1e-06, 10], got 0.0"),
    ],
)
def test_wrong_options_name_the_field(changes, text):
    with pytest.raises(ValueError) as caught:
        FrequencyMlpConfig(**changes)
    assert str(caught.value) == text
