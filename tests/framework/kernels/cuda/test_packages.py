"""Tests of the choice of adapters, and of the log line."""

from __future__ import annotations

import logging
import sys
from types import ModuleType

import pytest
import torch

from bozzetto.kernels.cuda import nerf_acc, packages, tiny_cuda_nn
from bozzetto.kernels.settings import KernelSettings, using

HERE = torch.zeros(2, 3)


def fallback() -> None:
    """Stand-in for the torch form."""


@pytest.fixture(autouse=True)
def looked_for_anew():
    """Look for packages anew, and choose those that are no default."""
    packages.load.cache_clear()
    with using(KernelSettings(("tinycudann", "nerfacc", "nvdiffrast"))):
        yield
    packages.load.cache_clear()


def test_tensors_in_main_memory_never_look_for_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "load", lambda name: pytest.fail(f"looked for {name}"))
    assert packages.choose("auto", "march", fallback, HERE) is fallback


def test_asking_for_the_torch_form_gives_it(device: torch.device) -> None:
    assert packages.choose("torch", "march", fallback, HERE.to(device)) is fallback


@pytest.mark.usefixtures("nerfacc", "tinycudann")
def test_each_kernel_has_its_adapter(device: torch.device) -> None:
    tensor = HERE.to(device)
    assert packages.choose("auto", "hash_encode", fallback, tensor) is tiny_cuda_nn.hash_encode
    assert packages.choose("auto", "mlp", fallback, tensor) is tiny_cuda_nn.mlp
    assert packages.choose("auto", "march", fallback, tensor) is nerf_acc.march
    assert packages.choose("auto", "composite", fallback, tensor) is nerf_acc.composite


def test_what_is_not_installed_is_not_mentioned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(packages, "on_cuda", lambda *tensors: True)
    monkeypatch.setitem(packages.MODULE_OF, "nerfacc", "no_such_package_of_bozzetto")
    assert packages.choose("auto", "march", fallback, HERE) is fallback
    assert caplog.records == []


def test_what_is_used_is_said_once_with_its_licence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root, module = ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
    root.__version__, root.torch = "0.4.0", module
    monkeypatch.setitem(sys.modules, "nvdiffrast", root)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    with caplog.at_level(logging.INFO):
        assert packages.load("nvdiffrast") is packages.load("nvdiffrast") is module
    (record,) = caplog.records
    assert record.getMessage() == (
        "On CUDA rasterize, interpolate, texture, antialias run on nvdiffrast 0.4.0. "
        "Its licence allows research and evaluation only."
    )


@pytest.mark.parametrize(
    "error",
    [OSError("no extension for compute capability 90"), ModuleNotFoundError("No module named 'rich'", name="rich")],
)
def test_a_broken_package_is_said_once_and_torch_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(packages, "on_cuda", lambda *tensors: True)
    monkeypatch.setattr(packages.importlib, "import_module", fail)
    for _ in range(2):
        assert packages.choose("auto", "mlp", fallback, HERE) is fallback
    (record,) = caplog.records
    assert f"tinycudann is installed but not usable ({error}); hash_encode, hash_field, mlp do" in record.getMessage()


def test_what_a_compiler_says_is_cut_to_a_line_and_nerfacc_names_the_torch_it_builds_with(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str) -> ModuleType:
        raise RuntimeError("Error building extension 'nerfacc_cuda'\n" + 1000 * "error: lerp\n")

    monkeypatch.setattr(packages.importlib, "import_module", fail)
    assert packages.load("nerfacc") is None
    (message,) = caplog.messages
    assert "\n" not in message and "Error building extension 'nerfacc_cuda'" in message
    assert "builds with torch up to 2.11" in message


def test_nerfacc_without_compiled_kernels_is_broken(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if device.type == "cuda":
        pytest.skip("changes the stand-in")
    monkeypatch.setattr(sys.modules["nerfacc.cuda._backend"], "_C", None)
    assert packages.load("nerfacc") is None
    assert "found no CUDA toolkit" in caplog.text


def test_packages_are_asked_for_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that serves the kernel and works; Warp for float32 only."""
    monkeypatch.setattr(packages, "on_cuda", lambda *tensors: True)
    forms = {name: lambda: None for name in packages.KERNELS_OF}
    monkeypatch.setattr(packages, "_form", lambda name, kernel, fallback: forms[name])
    there = {"warp", "nerfacc", "nvdiffrast"}
    monkeypatch.setattr(packages, "load", lambda name: name if name in there else None)

    def chosen(kernel: str, *order: packages.Package, tensor: torch.Tensor = HERE) -> str:
        with using(KernelSettings(order)):
            found = packages.choose("auto", kernel, fallback, tensor)
        return next((name for name, form in forms.items() if form is found), "torch")

    assert chosen("march", "warp", "nerfacc") == chosen("march", "tinycudann", "warp") == "warp"
    assert chosen("march", "nerfacc", "warp") == chosen("march", "nerfacc", "warp", tensor=HERE.double()) == "nerfacc"
    assert chosen("march", "warp", "nerfacc", tensor=HERE.double()) == "nerfacc"
    assert chosen("texture", "nerfacc", "warp") == "warp"
    assert chosen("hash_encode", "tinycudann", "warp") == "warp"  # not installed here
    assert chosen("march") == chosen("mlp", "warp") == "torch"


def test_asking_for_warp_where_it_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "load", lambda name: None)
    with pytest.raises(ValueError, match="backend: 'warp' is not usable here: pip install"):
        packages.choose("warp", "march", fallback, HERE)
    with pytest.raises(ValueError, match="backend: 'warp' takes float32 tensors only"):
        packages.choose("warp", "march", fallback, HERE.double())
    assert packages.choose("warp", "mlp", fallback, HERE) is fallback
