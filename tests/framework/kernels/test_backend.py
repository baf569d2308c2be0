"""Tests of the choice between compiled and torch form, and of the message if the compiled one is missing."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from bozzetto.kernels import api
from bozzetto.kernels.cpp import native
from bozzetto.machine.tuning import growing, tune_allocator

SPEC = api.GridSpec(levels=1, log2_table_size=6, base_resolution=4)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Simulate a machine without the compiled library."""
    monkeypatch.setattr(native, "library", lambda: None)
    native.warn_missing.cache_clear()
    yield
    native.warn_missing.cache_clear()


def encode(backend: api.Backend, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    points, table = torch.full((2, 3), 0.3, dtype=dtype), torch.ones(SPEC.entry_count, 2, dtype=dtype)
    return api.hash_encode(points, table, SPEC, backend=backend)


@pytest.mark.usefixtures("no_library")
def test_a_missing_library_is_said_once_and_torch_runs() -> None:
    with pytest.warns(RuntimeWarning, match="10 to 50 times slower") as caught:
        encode("auto")
        encode("auto")
    assert len(caught) == 1


@pytest.mark.usefixtures("no_library")
def test_asking_for_a_missing_library_is_an_error() -> None:
    with pytest.raises(ValueError, match="reinstall bozzetto where a C"):
        encode("cpp")


def test_asking_for_what_it_cannot_take_is_an_error() -> None:
    with pytest.raises(ValueError, match="'cpp' takes float32 tensors in main memory only"):
        encode("cpp", torch.float64)


def test_auto_takes_other_types_to_torch() -> None:
    torch.testing.assert_close(encode("auto", torch.float64), torch.ones(2, 2, dtype=torch.float64))


def test_tuning_the_allocator_says_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert tune_allocator() == "allocator: left as it is (tuned on Linux with glibc only)"


def test_the_environment_turns_the_tuning_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOZZETTO_TUNE_ALLOCATOR", "0")
    assert tune_allocator() == "allocator: left as it is (BOZZETTO_TUNE_ALLOCATOR=0)"


def test_garbage_is_left_alone_only_while_things_are_loaded() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), growing():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled() and gc.get_freeze_count() > 0
    gc.unfreeze()


def test_denormal_numbers_survive_loading_the_library() -> None:
    """A library linked with -ffast-math flushes denormals to zero in the whole process."""
    native.library(), native.wide_library()
    smallest, one = 5e-324, torch.ones(1)
    assert smallest * float(one) == smallest
    assert float(one * 1e-45) > 0.0


@pytest.mark.skipif(native.wide_library() is None, reason="needs a processor with AVX-512")
def test_with_avx512_and_without_come_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[torch.Tensor]:
        found = []
        for features in (1, 2, 4, 8):
            generator = torch.Generator().manual_seed(2)
            spec = api.GridSpec(4, features, 9, 3, 1.9, "smoothstep")
            points = torch.rand(300, 3, generator=generator, requires_grad=True)
            table = torch.randn(spec.entry_count, features, generator=generator, requires_grad=True)
            encoded = api.hash_encode(points, table, spec, backend="cpp")
            first = torch.autograd.grad(encoded.square().sum(), (points, table), create_graph=True)
            found += [encoded, *first, *torch.autograd.grad(first[0].square().sum(), (points, table))]
        shapes = ((9, 12), (3, 9))
        x, *weights = (torch.randn(shape, generator=generator, requires_grad=True) for shape in ((100, 12), *shapes))
        out = api.mlp(x, weights, backend="cpp")
        found += [out, *torch.autograd.grad(out.square().sum(), (x, *weights))]
        origin, direction = torch.randn(2, 200, 3, generator=generator)
        occupancy = torch.rand(17, 17, 17, generator=generator) < 0.1
        direction = torch.nn.functional.normalize(direction, dim=-1)
        return [*found, *api.march(origin, direction, 1.5, occupancy, 0.01, 300, backend="cpp")]

    wide = run()
    with monkeypatch.context() as patch:
        patch.setattr(native, "wide_library", lambda: None)
        native.find.cache_clear()
        narrow = run()
    native.find.cache_clear()
    assert all(torch.equal(one, other) for one, other in zip(wide, narrow, strict=True))
