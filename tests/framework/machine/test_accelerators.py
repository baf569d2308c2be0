"""Tests of the choice of a device by the driver and the installed torch; no GPU is needed."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bozzetto.errors import ConfigError
from bozzetto.machine import accelerators as hardware
from bozzetto.machine.accelerators import Accelerator, TorchBuild, cuda_driver, detect, installed_torch, torch_device
from bozzetto.recipe import device_of


def pretend_driver(monkeypatch: pytest.MonkeyPatch, devices: int, cuda: int) -> None:
    """Simulate a driver with `devices` GPUs (none: cuInit fails, as NVIDIA's does) that supports CUDA `cuda`."""

    def put(value: int) -> object:
        def call(pointer: object) -> int:
            pointer._obj.value = value
            return 0

        return call

    library = SimpleNamespace(
        cuInit=lambda flags: 0 if devices else 100, cuDeviceGetCount=put(devices), cuDriverGetVersion=put(cuda),
        cuDeviceGet=lambda pointer, number: put(number)(pointer),
        cuDeviceTotalMem_v2=lambda pointer, device: put((12 - device.value) << 30)(pointer),
    )  # fmt: skip
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)


def pretend_torch(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str | None) -> None:
    """Simulate an installed torch whose version.py has this text."""
    (folder / "version.py").write_text(text or "")
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if text is not None else None)


LINUX_CUDA = (
    "from typing import Optional\n__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
)
WINDOWS_CPU = "from typing import Optional\n__version__ = '2.13.0'\ncuda: Optional[str] = None\n"
OLD_STYLE = "__version__ = '2.6.0+cu118'\ncuda = '11.8'\n"


@pytest.mark.parametrize(
    ("text", "devices", "driver", "kind", "told"),
    [
        (LINUX_CUDA, 1, 13000, "cuda", "1 CUDA device found"),
        (LINUX_CUDA, 2, 13010, "cuda", "2 CUDA devices found"),
        (
            LINUX_CUDA,
            1,
            12080,
            "cpu",
            "built for CUDA 13.0 and the driver runs CUDA 12.8 at most; update the driver, or",
        ),
        (OLD_STYLE, 1, 11040, "cuda", "1 CUDA device found"),
        (OLD_STYLE, 1, 12040, "cuda", "1 CUDA device found"),
        (WINDOWS_CPU, 1, 12040, "cpu", "torch 2.13.0 is a CPU build"),
        (LINUX_CUDA, 0, 13000, "cpu", "no CUDA device found"),
        ("not python at all (", 1, 13000, "cpu", "CPU build"),
        (None, 1, 13000, "cpu", "torch is not installed"),
    ],
)
def test_the_device_is_chosen_by_driver_and_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, devices: int, driver: int, kind: str, told: str
) -> None:
    monkeypatch.delenv(hardware.VISIBLE, raising=False)
    monkeypatch.setattr(hardware.platform, "system", lambda: "Linux")
    pretend_driver(monkeypatch, devices, driver)
    pretend_torch(monkeypatch, tmp_path, text)
    found = detect()
    assert found.kind == kind and told in found.reason


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_are_hidden_are_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hidden: str) -> None:
    monkeypatch.setenv(hardware.VISIBLE, hidden)
    monkeypatch.setattr(hardware.platform, "system", lambda: "Linux")
    pretend_driver(monkeypatch, 0, 13000)
    pretend_torch(monkeypatch, tmp_path, LINUX_CUDA)
    assert detect() == Accelerator("cpu", f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU")


def test_a_machine_without_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert cuda_driver() is None and hardware.cuda_device_count() == 0


def test_the_build_of_the_installed_torch_is_what_torch_says() -> None:
    import torch

    found, cuda = installed_torch(), torch.version.cuda
    assert found == TorchBuild(torch.__version__, tuple(map(int, cuda.split(".")[:2])) if cuda else None)


@pytest.mark.parametrize("value", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:15"])
def test_devices_that_a_recipe_may_name(value: str) -> None:
    assert device_of(value) == value


@pytest.mark.parametrize(
    "value", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "cuda:0\n", "CUDA", 0, True, None, ["cuda"]]
)
def test_devices_that_it_may_not(value: object) -> None:
    with pytest.raises(ConfigError, match=r"is not one of auto, cpu, cuda, mps\..*A GPU by number: cuda:1"):
        device_of(value)


def test_a_gpu_by_number_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    found = Accelerator("cuda", "2 CUDA devices found")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_device("cuda:1", "cuda", found) == "cuda:1" and torch_device("auto", "cuda", found) == "cuda"
    with pytest.raises(ConfigError, match=r"there is no 'cuda:2' here\. Numbers go from cuda:0 to cuda:1"):
        torch_device("cuda:2", "cuda", found)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"'cuda:1' \(profile 'cuda'\) cannot be used here: why"):
        torch_device("cuda:1", "cuda", Accelerator("cpu", "why"))


def test_looking_imports_no_torch() -> None:
    import subprocess

    code = "import sys; from bozzetto.machine.accelerators import detect; detect(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_memory_is_that_of_the_smallest_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_driver(monkeypatch, 2, 13000)
    pretend_torch(monkeypatch, tmp_path, LINUX_CUDA)
    assert detect().memory_bytes == 11 << 30
