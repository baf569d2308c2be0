"""`bozzetto doctor`: reports hardware and packages, which are used, and why others are not. No torch; takes 1 s."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bozzetto import __version__
from bozzetto.config.loading import load_recipe
from bozzetto.config.recipe_file import shipped_recipes
from bozzetto.errors import ConfigError, UserError
from bozzetto.kernels.settings import VARIABLE, Package
from bozzetto.kernels.settings import current as kernel_settings
from bozzetto.machine import accelerators as hardware
from bozzetto.registry.discovery import Registry
from bozzetto.runs.start import cache_folder, offline, plans_for
from bozzetto.spec import installed
from bozzetto.weights.plans import ModelPlan

REACH_S = 1.0
"""Timeout of the hub check in seconds."""
COMPILERS = ("c++", "g++", "clang++", "cl")
CUDA_PACKAGES: dict[Package, str] = {
    "warp": "all kernels but mlp, for which torch's own products are used; pip install 'bozzetto[cuda]'",
    "tinycudann": "hash_encode, mlp",
    "nerfacc": "march, composite; builds with torch up to 2.11",
    "nvdiffrast": "rasterize, interpolate, texture, antialias; research and evaluation only",
}
"""CUDA packages, and the kernels they serve."""


@dataclass(frozen=True)
class Finding:
    """Line of the report."""

    mark: Literal["ok", "note", "WRONG"]
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.mark:<5}  {self.title:<12}  {self.text}"


def doctor(registry: Registry) -> int:
    """Print every finding.

    Returns:
        0, or 1 if a finding prevents every run.
    """
    wrong = False
    for finding in findings(registry):
        print(finding, flush=True)
        wrong = wrong or finding.mark == "WRONG"
    return int(wrong)


def findings(registry: Registry) -> Iterator[Finding]:
    """Yield findings on Python, torch, device, memory, compiler, kernels, packages, hub, weights, disk and plugins."""
    found = hardware.detect()
    yield Finding("ok", "bozzetto", f"{__version__}, Python {platform.python_version()} on {platform.platform()}")
    version = version_of("torch")
    yield Finding("ok" if version else "WRONG", "torch", version or "not installed: pip install torch")
    yield Finding("ok", "device", f"{found.kind}: {found.reason}")
    yield from (Finding("ok", "gpu", text) for text in gpus())
    yield memory()
    yield compiler()
    yield kernels()
    yield gpu_kernels()
    yield from optional_packages(found.kind == "cuda")
    yield from hub()
    yield from weights(registry, found)
    yield from (disk(title, folder) for title, folder in (("outputs", Path.cwd()), ("cache", cache_folder())))
    yield plugins(registry)


def version_of(package: str) -> str:
    """Return the installed version of a distribution; empty if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def gpus() -> list[str]:
    """Return name and memory of each GPU that the CUDA driver reports."""
    count = hardware.cuda_device_count()
    if not count:
        return []
    driver = ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    described = []
    for number in range(count):
        name, size, device = ctypes.create_string_buffer(256), ctypes.c_size_t(0), ctypes.c_int(0)
        driver.cuDeviceGet(ctypes.byref(device), number)
        driver.cuDeviceGetName(name, len(name), device)
        driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        described.append(f"{number}: {name.value.decode(errors='replace')}, {size.value / 1e9:.0f} GB")
    return described


def memory() -> Finding:
    """Report main memory and processor cores available to this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not hasattr(os, "sysconf"):
        return Finding("ok", "memory", f"size unknown on this system; {cores} cores")
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        size = min(size, int(text))
    mark: Literal["ok", "note"] = "ok" if size > 4e9 else "note"
    advice = "" if mark == "ok" else "; a run needs about 3 GB"
    return Finding(mark, "memory", f"{size / 1e9:.1f} GB; {cores} core{'s' if cores > 1 else ''}{advice}")


def compiler() -> Finding:
    """Report the C++ compiler, which only the installation requires."""
    for name in filter(None, (os.environ.get("CXX"), *COMPILERS)):
        path = shutil.which(name.split()[0])
        if path:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False)
            return Finding("ok", "compiler", (done.stdout or path).splitlines()[0])
    return Finding("note", "compiler", "none: an installation from source goes without the compiled kernels")


def kernels() -> Finding:
    """Report whether the compiled kernels can be used, and if not, why."""
    spec = importlib.util.find_spec("bozzetto.kernels.cpp")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    built = [path for folder in folders for suffix in EXTENSION_SUFFIXES for path in folder.glob(f"_native{suffix}")]
    cure = "the torch form runs instead, 10 to 50 times slower on a CPU"
    if not built:
        return Finding("note", "kernels", f"not built; {cure}. Install a C++ compiler and reinstall bozzetto")
    try:
        usable = ctypes.CDLL(str(built[0])).bozzetto_runs_here()
    except (OSError, AttributeError) as error:
        return Finding("note", "kernels", f"built and cannot be loaded ({error}); {cure}. Reinstall bozzetto")
    if not usable:
        return Finding("note", "kernels", f"built for another processor; {cure}. Reinstall bozzetto on this machine")
    return Finding("ok", "kernels", f"compiled C++ is used for float32 on the CPU ({built[0].name})")


def gpu_kernels() -> Finding:
    """Report which form of the kernels a GPU would use here, if the recipe does not say otherwise."""
    try:
        chosen = kernel_settings().packages
    except ConfigError as error:
        return Finding("WRONG", "gpu kernels", str(error))
    usable = [name for name in chosen if installed(name)]
    source = VARIABLE if os.environ.get(VARIABLE) else "trainer.kernels"
    if not usable:
        asked = f"{', '.join(chosen)} not installed" if chosen else f"{source} names none"
        cure = "; pip install 'bozzetto[cuda]'" if "warp" in chosen else ""
        return Finding("note", "gpu kernels", f"a GPU would run them as torch operations: {asked}{cure}")
    return Finding("ok", "gpu kernels", f"a GPU would run them with {', '.join(usable)} ({source})")


def optional_packages(cuda: bool) -> Iterator[Finding]:
    """Report each optional package: used, or why not."""
    chosen = kernel_settings().packages
    for name, serves in CUDA_PACKAGES.items():
        version = version_of("warp-lang" if name == "warp" else name) or "installed"
        if not installed(name):
            yield Finding("note", name, f"not installed; it serves {serves}")
        elif not cuda:
            yield Finding("note", name, f"{version}, not used: no CUDA device here")
        elif name not in chosen:
            yield Finding("note", name, f"{version}, not used: only if trainer.kernels or {VARIABLE} names it")
        else:
            yield Finding("ok", name, f"{version}, tried on first use for {serves}")
    have = version_of("accelerate")
    unused = "used when guidance.cpu_offload is model or sequential"
    yield Finding("ok" if have else "note", "accelerate", f"{have or 'not installed'}; {unused}")
    have = version_of("xformers")
    yield Finding("note", "xformers", f"{have or 'not installed'}; not used, torch's own attention is")


def hub() -> Iterator[Finding]:
    """Report the hub's cache folder, and whether the hub answers within `REACH_S`."""
    if not installed("huggingface_hub"):
        yield Finding("WRONG", "hub", "the package huggingface_hub is not installed")
        return
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    models = len(list(folder.glob("models--*"))) if folder.is_dir() else 0
    yield Finding("ok", "hub cache", f"{folder}: {models} models")
    if offline():
        yield Finding("ok", "hub", "downloads are forbidden by HF_HUB_OFFLINE")
        return
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    address = urlsplit(proxy or constants.ENDPOINT)
    name = f"{address.hostname}{' (proxy)' if proxy else ''}"
    port = address.port or (80 if address.scheme == "http" else 443)
    why = unreachable(address.hostname or "", port)
    if why:
        yield Finding("note", "hub", f"{name} cannot be reached ({why}): only bundled and cached weights can be used")
    else:
        yield Finding("ok", "hub", f"{name} answers")


def unreachable(host: str, port: int) -> str:
    """Return why no connection opens within `REACH_S`, name look-up included; empty if one does."""
    outcome: list[str] = []

    def attempt() -> None:
        try:
            socket.create_connection((host, port), timeout=REACH_S).close()
            outcome.append("")
        except OSError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(REACH_S)
    return outcome[0] if outcome else f"no answer in {REACH_S:g} s"


def weights(registry: Registry, found: hardware.Accelerator) -> Iterator[Finding]:
    """Report the models each shipped recipe would load on this machine, then the source of each model."""
    models: dict[str, ModelPlan] = {}
    for name, path in shipped_recipes(registry).items():
        try:
            recipe = load_recipe(path, registry, hardware=found)
            plans = plans_for(recipe, registry)
        except UserError as error:
            yield Finding("note", "recipe", f"{name}: {error}")
            continue
        models |= plans
        yield Finding("ok", "recipe", f"{name}, profile {recipe.profile}: {', '.join(plans) or 'no weights'}")
    yield from (Finding("ok", "weights", plan.describe()) for plan in models.values())


def disk(title: str, folder: Path) -> Finding:
    """Report the free disk space at a folder, or at its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    advice = "" if free > 1.0 else "; a run writes up to 1 GB"
    return Finding("ok" if free > 1.0 else "note", "disk", f"{free:.1f} GB free for {title} in {folder}{advice}")


def plugins(registry: Registry) -> Finding:
    """Report the number of components and of broken plugins."""
    entries = [entry for found in registry.entries.values() for entry in found]
    if not entries:
        return Finding("WRONG", "plugins", "none, not even the built-in ones: pip install -e . in the project folder")
    faults = registry.faults()
    dists = len({entry.dist for entry in entries})
    text = f"{len(entries)} components from {dists} distribution{'s' if dists > 1 else ''}"
    if faults:
        return Finding("note", "plugins", f"{text}; {len(faults)} broken, see 'bozzetto plugins list'")
    return Finding("ok", "plugins", text)
