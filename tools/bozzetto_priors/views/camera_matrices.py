"""Camera matrices: world z up, azimuth 0 on +x (front), increasing toward +y; OpenGL axes."""

from __future__ import annotations

import math

import numpy as np

FOV_Y_DEG = 40.0


def position(azimuth_deg: float, elevation_deg: float, distance: float) -> np.ndarray:
    """Return the camera centre [3] in world units; the camera looks at the origin."""
    a, e = math.radians(azimuth_deg), math.radians(elevation_deg)
    return distance * np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])


def view_matrix(eye: np.ndarray) -> np.ndarray:
    """Return the world-to-camera matrix [4, 4] (x right, y up, looking along -z) from `eye` to the origin."""
    back = eye / np.linalg.norm(eye)
    right = np.cross(np.array([0.0, 0.0, 1.0]), back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, up, back])
    matrix[:3, 3] = -matrix[:3, :3] @ eye
    return matrix


def projection_matrix(fov_y_deg: float, near: float = 0.5, far: float = 10.0) -> np.ndarray:
    """Return the OpenGL perspective matrix [4, 4] of a square image."""
    f = 1.0 / math.tan(math.radians(fov_y_deg) / 2)
    matrix = np.zeros((4, 4))
    matrix[0, 0] = matrix[1, 1] = f
    matrix[2, 2], matrix[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    matrix[3, 2] = -1.0
    return matrix
