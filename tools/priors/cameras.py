"""Cameras of the project: world z up, azimuth 0 on +x (front), growing toward +y; OpenGL axes."""

from __future__ import annotations

import math

import numpy as np

FOV_Y_DEG = 40.0
DISTANCE = (3.0, 3.4)
FRONT_DEG, OVERHEAD_DEG = 90.0, 60.0
NEAR_BORDER_DEG = 10.0


def view_word(azimuth_deg: float, elevation_deg: float) -> str:
    """`overhead` above 60 degrees; else `front` (|azimuth| < 45), `back` (> 135) or `side`."""
    if elevation_deg > OVERHEAD_DEG:
        return "overhead"
    azimuth = abs((azimuth_deg + 180.0) % 360.0 - 180.0)
    if azimuth < FRONT_DEG / 2:
        return "front"
    return "back" if azimuth > 180.0 - FRONT_DEG / 2 else "side"


def which_side(azimuth_deg: float) -> str:
    """The object's own left (it faces +x, so +y is to its left) or right."""
    return "left side" if 0.0 <= azimuth_deg % 360.0 < 180.0 else "right side"


def near_border(azimuth_deg: float, elevation_deg: float) -> bool:
    """Whether two words could be said of this view: within 10 degrees of a border between them."""
    if abs(elevation_deg - OVERHEAD_DEG) < NEAR_BORDER_DEG:
        return True
    to_diagonal = abs((azimuth_deg % 90.0) - FRONT_DEG / 2)
    return elevation_deg < OVERHEAD_DEG and to_diagonal < NEAR_BORDER_DEG


def position(azimuth_deg: float, elevation_deg: float, distance: float) -> np.ndarray:
    """Camera centre [3] in world units; it looks at the origin."""
    a, e = math.radians(azimuth_deg), math.radians(elevation_deg)
    return distance * np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])


def view_matrix(eye: np.ndarray) -> np.ndarray:
    """World-to-camera matrix [4, 4] (x right, y up, looking along -z) from `eye` to the origin."""
    back = eye / np.linalg.norm(eye)
    right = np.cross(np.array([0.0, 0.0, 1.0]), back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, up, back])
    matrix[:3, 3] = -matrix[:3, :3] @ eye
    return matrix


def projection_matrix(fov_y_deg: float, near: float = 0.5, far: float = 10.0) -> np.ndarray:
    """OpenGL perspective matrix [4, 4] of a square image."""
    f = 1.0 / math.tan(math.radians(fov_y_deg) / 2)
    matrix = np.zeros((4, 4))
    matrix[0, 0] = matrix[1, 1] = f
    matrix[2, 2], matrix[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    matrix[3, 2] = -1.0
    return matrix


def draw_camera(rng: np.random.Generator) -> tuple[float, float, float]:
    """Random azimuth in [-180, 180), elevation in [-10, 85] degrees, distance in [3.0, 3.4]."""
    azimuth = rng.uniform(-180.0, 180.0)
    elevation = rng.uniform(-10.0, 45.0) if rng.random() < 0.8 else rng.uniform(45.0, 85.0)
    return float(azimuth), float(elevation), float(rng.uniform(*DISTANCE))
