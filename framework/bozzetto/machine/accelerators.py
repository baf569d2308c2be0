"""Detects the hardware without importing torch. Only this module and adapters name devices."""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bozzetto.errors import ConfigError

Kind = Literal["cpu", "cuda", "mps"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable that hides GPUs from a process."""


@dataclass(frozen=True)
class Accelerator:
    """Device that a run can use, and the reason."""

    kind: Kind
    reason: str
    memory_bytes: int | None = None
    """Memory of the smallest GPU that this process sees; None: unknown, or no GPU."""


@dataclass(frozen=True)
class CudaDriver:
    """Properties of the NVIDIA driver."""

    devices: int
    """Number of GPUs visible to this process."""
    cuda: tuple[int, int]
    """Highest supported CUDA version, (major, minor)."""
    memory_bytes: tuple[int, ...] = ()
    """Memory of each visible GPU."""


@dataclass(frozen=True)
class TorchBuild:
    """Build of the installed torch."""

    version: str
    cuda: tuple[int, int] | None
    """CUDA version of the build, (major, minor); None: without CUDA."""


def detect() -> Accelerator:
    """Return CUDA if the driver sees a GPU and supports torch's build; else MPS on Apple silicon; else the CPU."""
    torch_build, driver = installed_torch(), cuda_driver()
    if torch_build is None:
        return Accelerator("cpu", "torch is not installed")
    if driver is not None and driver.devices:
        return _with_gpu(torch_build, driver)
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return Accelerator("mps", "Apple silicon")
    visible = os.environ.get(VISIBLE)
    if visible is not None and driver is not None:
        return Accelerator("cpu", f"{VISIBLE}={visible!r} hides every GPU")
    return Accelerator("cpu", "no CUDA device found")


def _with_gpu(torch_build: TorchBuild, driver: CudaDriver) -> Accelerator:
    if torch_build.cuda is None:
        return Accelerator(
            "cpu",
            f"a GPU is here but torch {torch_build.version} is a CPU build; install a CUDA build of torch to use it",
        )
    if driver.cuda[0] < torch_build.cuda[0]:  # within a major version, newer minor versions run on older drivers
        built, runs = (".".join(map(str, cuda)) for cuda in (torch_build.cuda, driver.cuda))
        return Accelerator(
            "cpu",
            f"a GPU is here but torch {torch_build.version} was built for CUDA {built} and the driver runs CUDA {runs} "
            f"at most; update the driver, or install a torch built for CUDA {driver.cuda[0]}",
        )
    found = f"{driver.devices} CUDA device{'s' if driver.devices > 1 else ''} found"
    return Accelerator("cuda", found, min(driver.memory_bytes, default=None))


def installed_torch() -> TorchBuild | None:
    """Read version and CUDA of the installed torch from its files, which does not depend on the wheel's name."""
    spec = importlib.util.find_spec("torch")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        return None
    try:
        text = (Path(folders[0]) / "version.py").read_text(encoding="utf-8")
        found = _constants(ast.parse(text))
    except (OSError, SyntaxError, ValueError):
        found = {}
    cuda = re.fullmatch(r"(\d+)\.(\d+)\S*", str(found.get("cuda")))
    return TorchBuild(
        str(found.get("__version__", "of unknown version")), (int(cuda[1]), int(cuda[2])) if cuda else None
    )


def _constants(tree: ast.Module) -> dict[str, object]:
    """Return the module-level names with constant values: `a = 1`, `b: str = "x"`."""
    found: dict[str, object] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant):
            found.update({target.id: value.value for target in targets if isinstance(target, ast.Name)})
    return found


def cuda_device_count() -> int:
    """Return the number of GPUs visible to this process; 0 without a driver."""
    driver = cuda_driver()
    return driver.devices if driver else 0


def cuda_driver() -> CudaDriver | None:
    """Return the CUDA driver's properties; None without a driver."""
    names = {"Windows": "nvcuda.dll"}
    try:
        driver = ctypes.CDLL(names.get(platform.system(), "libcuda.so.1"))
    except OSError:
        return None
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        count.value = 0
    sizes = [_memory_bytes(driver, number) for number in range(count.value)]
    return CudaDriver(
        count.value, (version.value // 1000, version.value % 1000 // 10), tuple(size for size in sizes if size)
    )


def _memory_bytes(driver: Any, number: int) -> int:
    """Return the memory of a GPU; 0 if the driver does not say."""
    device, size = ctypes.c_int(0), ctypes.c_size_t(0)
    if driver.cuDeviceGet(ctypes.byref(device), number) or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device):
        return 0
    return int(size.value)


def select(device: str) -> None:
    """Make a GPU with a number torch's current one, which is used by packages that are not told a device."""
    import torch

    kind, _, number = device.partition(":")
    if kind == "cuda" and number:
        torch.cuda.set_device(device)


def torch_device(wanted: str, profile: str, found: Accelerator) -> str:
    """Return the torch device for a recipe's `device` on this machine. Imports torch.

    Args:
        wanted: `auto`, or a device of torch such as `cuda:1`.
        profile: name of the recipe's profile, for the message.

    Raises:
        ConfigError: torch cannot use the device.
    """
    import torch

    name = found.kind if wanted == "auto" else wanted
    kind, _, number = name.partition(":")
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not usable[kind]:
        raise ConfigError(
            f"device: {name!r} (profile {profile!r}) cannot be used here: {found.reason}, torch {torch.__version__}. "
            "Choose another profile, e.g. --profile cpu."
        )
    if number and int(number) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ConfigError(f"device: there is no {name!r} here. Numbers go from cuda:0 to cuda:{last}.")
    return name
