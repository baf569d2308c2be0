import math

import torch

from bozzetto.math.shading import lambert, light_in_cone, light_near_camera, normal_color

X, Y, Z = torch.eye(3)[:, None]


def test_lambert_is_ambient_plus_diffuse_times_the_cosine() -> None:
    ambient, diffuse = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.9, 0.8, 0.7]])
    at_60_degrees = torch.tensor([[0.5, math.sqrt(0.75), 0.0]])
    torch.testing.assert_close(lambert(X, X, ambient, diffuse), ambient + diffuse)
    torch.testing.assert_close(lambert(X, at_60_degrees, ambient, diffuse), ambient + 0.5 * diffuse)
    torch.testing.assert_close(lambert(X, Y, ambient, diffuse), ambient)


def test_a_surface_turned_away_has_ambient_light_only() -> None:
    torch.testing.assert_close(lambert(X, -X, 0.25 * torch.ones(1, 3), torch.ones(1, 3)), 0.25 * torch.ones(1, 3))


def test_normal_color_maps_the_axes() -> None:
    torch.testing.assert_close(normal_color(X), torch.tensor([[1.0, 0.5, 0.5]]))
    torch.testing.assert_close(normal_color(-Z), torch.tensor([[0.5, 0.5, 0.0]]))


def test_light_near_camera_is_the_direction_of_the_shifted_position() -> None:
    torch.testing.assert_close(light_near_camera(3.0 * X, torch.zeros(1, 3)), X)
    torch.testing.assert_close(light_near_camera(3.0 * X, 3.0 * Y), (X + Y) / math.sqrt(2.0))


def test_light_in_cone_is_within_60_degrees_and_all_around() -> None:
    generator = torch.Generator().manual_seed(0)
    turn, tilt = torch.rand(2, 2000, generator=generator)
    for position in (2.0 * X, 2.0 * Z, -3.0 * Z, X + 0.1 * Y):  # the direction straight up has no special frame
        light = light_in_cone(position.expand(2000, 3), turn, tilt)
        forward = torch.nn.functional.normalize(position, dim=-1)
        torch.testing.assert_close(light.norm(dim=-1), torch.ones(2000))
        assert float((light * forward).sum(dim=-1).min()) >= 0.5 - 1e-5
        sideways = light - (light * forward).sum(dim=-1, keepdim=True) * forward
        assert float(sideways.mean(dim=0).norm()) < 0.05  # no side is preferred


def test_light_in_cone_at_its_ends() -> None:
    half = torch.tensor([0.5])
    torch.testing.assert_close(light_in_cone(X, half, torch.ones(1)), X)
    edge = light_in_cone(X, half, torch.zeros(1))
    torch.testing.assert_close((edge * X).sum(), torch.tensor(0.5))
