"""Tests of the licences of models."""

from __future__ import annotations

from bozzetto_priors.export import write_attribution


def test_a_licence_file_outranks_the_catalogue() -> None:
    assert write_attribution.licence_of("Public domain", "") == write_attribution.CC0
    assert write_attribution.licence_of("Creative Commons Attribution 3.0", "") == write_attribution.BY
    enclosed = "Released under <b>Creative Commons Attribution 3.0</b>"
    assert write_attribution.licence_of("Public domain", enclosed) == write_attribution.BY
    assert (
        write_attribution.licence_of("x", "under the license: Creative Commons Zero (Public Domain)")
        == write_attribution.CC0
    )
