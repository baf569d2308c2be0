"""Tests of the layout of a hash grid, against numbers computed by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bozzetto.kernels.grid_spec import GridSpec


def test_small_levels_are_dense_and_padded_large_ones_hashed() -> None:
    spec = GridSpec(levels=3, features=2, log2_table_size=10, base_resolution=3, growth=2.0)
    coarse, middle, fine = spec.table
    assert (coarse.scale, coarse.resolution, coarse.offset, coarse.size, coarse.hashed) == (2.0, 3, 0, 32, False)
    assert (middle.scale, middle.resolution, middle.offset, middle.size, middle.hashed) == (5.0, 6, 32, 216, False)
    assert (fine.scale, fine.resolution, fine.offset, fine.size, fine.hashed) == (11.0, 12, 248, 1024, True)
    assert spec.entry_count == 248 + 1024
    assert spec.feature_count == 6


def test_up_to_ends_exactly_at_the_finest_resolution() -> None:
    for finest in (16, 100, 2048, 4096):
        spec = GridSpec.up_to(finest, levels=16)
        assert spec.table[0].resolution == 16
        assert spec.table[-1].resolution == finest


def test_a_level_as_large_as_the_table_is_dense() -> None:
    level = GridSpec(levels=1, log2_table_size=12, base_resolution=16).table[0]
    assert (level.size, level.hashed) == (4096, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 0}, r"levels: must lie in \[1, 32\], got 0"),
        ({"features": 3}, "features: must be one of 1, 2, 4, 8, got 3"),
        ({"log2_table_size": 2}, "log2_table_size: must lie in"),
        ({"base_resolution": 1}, "base_resolution: must lie in"),
        ({"growth": 0.5}, "growth: must lie in"),
        ({"growth": 3.0}, "growth: makes the finest resolution"),
    ],
)
def test_errors_name_the_field(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridSpec(**change)


def test_an_unknown_interpolation_is_an_error() -> None:
    spec = GridSpec()
    object.__setattr__(spec, "interpolation", "cubic")  # bypasses the type checker of the tests
    with pytest.raises(ValueError, match="interpolation: must be one of linear, smoothstep, got 'cubic'"):
        spec.__post_init__()


def test_a_finest_resolution_below_the_base_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"finest_resolution: must be at least base_resolution \(16\), got 8"):
        GridSpec.up_to(8)


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, bozzetto.kernels.grid_spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
