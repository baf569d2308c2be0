import math

import torch

from bozzetto.math.projection import clip_positions
from bozzetto.testing.scenes import cameras_around


def test_pixel_centres_project_onto_themselves():
    cameras = cameras_around(3, size=5)
    rays = cameras.rays()
    points = rays.origin + 2.0 * rays.direction
    for view in range(3):
        clip = cameras.clip_positions(points.view(3, 25, 3)[view], 1.0)[view]
        x, y = (clip[:, :2] / clip[:, 3:]).unbind(1)
        column, row = (0.5 * (x + 1.0) * 5 - 0.5).view(5, 5), (0.5 * (y + 1.0) * 5 - 0.5).view(5, 5)
        torch.testing.assert_close(column, torch.arange(5.0).expand(5, 5), atol=1e-4, rtol=0)
        torch.testing.assert_close(row, torch.arange(5.0)[:, None].expand(5, 5), atol=1e-4, rtol=0)  # row 0 is the top


def test_near_and_far():
    cameras = cameras_around(1)
    forward = -torch.nn.functional.normalize(cameras.position, dim=-1)
    points = cameras.position + torch.tensor([[0.5], [4.0]]) * forward
    near, far = torch.tensor([0.5]), torch.tensor([4.0])
    clip = clip_positions(points, cameras.c2w, cameras.fov_y_rad, 17, 17, near, far)[0]
    torch.testing.assert_close(clip[:, 2] / clip[:, 3], torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(clip[:, 3], torch.tensor([0.5, 4.0]))


def test_the_whole_cube_is_between_near_and_far():
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    for distance in (1.8, 2.5, 10.0):
        clip = cameras_around(4, distance=distance).clip_positions(corners, 1.0)
        assert ((clip[..., 2] / clip[..., 3]).abs() <= 1.0).all()


def test_a_wide_picture_is_not_distorted():
    cameras = cameras_around(1)
    wide = clip_positions(
        torch.zeros(1, 3) + 0.1, cameras.c2w, cameras.fov_y_rad, 10, 20, *torch.tensor([[0.1], [9.0]])
    )
    square = clip_positions(
        torch.zeros(1, 3) + 0.1, cameras.c2w, cameras.fov_y_rad, 10, 10, *torch.tensor([[0.1], [9.0]])
    )
    assert math.isclose(float(wide[0, 0, 0]) * 2.0, float(square[0, 0, 0]), rel_tol=1e-5)
