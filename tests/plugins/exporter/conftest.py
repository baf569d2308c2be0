"""Marker of tests that open files in Blender."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bpy: needs Blender's Python module (pip install bpy)")
