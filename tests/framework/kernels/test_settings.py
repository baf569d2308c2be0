"""Tests of the choice of kernels: what is configured, and what the environment replaces."""

from __future__ import annotations

import pytest

from bozzetto.errors import ConfigError
from bozzetto.kernels.settings import VARIABLE, KernelSettings, current, from_environment, using


def test_warp_is_the_default_and_sums_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert current() == KernelSettings(("warp",), deterministic=False)


def test_a_block_runs_with_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    before, other = current(), KernelSettings(("nerfacc",), deterministic=True)
    with pytest.raises(KeyError), using(other):
        assert current() == other
        raise KeyError
    assert current() == before


def test_the_environment_replaces_the_packages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nvdiffrast, warp")
    with using(KernelSettings(("tinycudann",), deterministic=True)):
        assert current() == KernelSettings(("nvdiffrast", "warp"), deterministic=True)


@pytest.mark.parametrize(("text", "packages"), [("", None), (" ", None), ("torch", ()), ("nerfacc,", ("nerfacc",))])
def test_names_are_separated_by_commas(text: str, packages: tuple[str, ...] | None) -> None:
    assert from_environment(text) == packages


def test_an_unknown_name_says_what_is_near() -> None:
    with pytest.raises(ConfigError, match="BOZZETTO_KERNELS: there are no kernels 'nvdifrast'.* mean 'nvdiffrast'?"):
        from_environment("warp,nvdifrast")
