"""Command line of the check: runs its parts one after the other, and writes one JSON file and a table.

python tools/gpu_check --out FOLDER             # a machine with a GPU, less than ten minutes
python tools/gpu_check --out FOLDER --dry       # tiny, on the CPU: shows that the check itself runs
python tools/gpu_check --out FOLDER --parts priors scores    # some parts of it, e.g. where the time is short
python tools/gpu_check --out FOLDER --parts memory full    # memory, and steps of full size on a CPU: needs no GPU
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bozzetto.files import write_text
from bozzetto.machine import accelerators
from bozzetto.registry.discovery import Registry, installed_sources
from gpu_check import counted, full_steps, kernels, priors, recipes, scenes, scores
from gpu_check.models import photo_model, text_model
from gpu_check.tables import failures, table

ROOT = Path(__file__).parents[2]
RECIPES = ("dreamfusion-sd", "zero123", "magic123", "fantasia3d", "magic3d", "prolificdreamer", "sds")
COUNTED = ("dreamfusion-sd", "zero123", "magic123")
"""Recipes whose scene is counted."""
TESTS = "tests/framework/kernels/cuda"
PACKAGES = ("tinycudann", "nerfacc", "nvdiffrast", "warp")
PARTS = ("tests", "kernels", "recipes", "priors", "scores")
WORKED_OUT, FULL = "memory", "full"
NO_GPU = (WORKED_OUT, FULL)
"""Parts that need no GPU: memory that is worked out, and steps of full size on a CPU."""
MINUTES = 9.0
STEPS, FEW = 20, 3
"""Steps of a recipe, and of a family of priors or a score."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the check; return 0 if nothing failed, else 1."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, gpu_check.json and .md")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--recipes", nargs="*", default=None, metavar="NAME", help="default: the main methods")
    parser.add_argument(
        "--parts", nargs="+", choices=(*PARTS, *NO_GPU), default=PARTS, help="default: all but memory and full"
    )
    options = parser.parse_args(words)
    needs_gpu = not options.dry and not set(options.parts) <= set(NO_GPU)
    if needs_gpu and not torch.cuda.is_available():
        print(f"error: there is no GPU: {accelerators.detect().reason}. Try --dry.", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    result = check(options)
    print(save(result, options.out))
    return 1 if failures(result) else 0


def save(result: dict[str, Any], folder: Path) -> str:
    """Write what is known so far, and return it as Markdown: a check that is cut short leaves its first results."""
    text = table(result)
    write_text(folder / "gpu_check.json", json.dumps(result, indent=2) + "\n")
    write_text(folder / "gpu_check.md", text)
    return text


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Return all results."""
    device = torch.device("cpu" if options.dry or set(options.parts) <= set(NO_GPU) else "cuda")
    result: dict[str, Any] = {"machine": machine(device), "skipped": []}
    result |= {part: [] for part in (*PARTS, *NO_GPU, "scenes") if part != "tests"}
    until = time.monotonic() + 60.0 * MINUTES
    if "tests" in options.parts:
        result["tests"] = tests(device)
    if "kernels" in options.parts:
        result["kernels"] = kernels.measured(device, options.dry)
    with tempfile.TemporaryDirectory() as name:
        for part, label, work in works(options, device, Path(name)):
            if time.monotonic() > until:
                result["skipped"].append(label)
            else:
                result[part] += work()
            save(result, options.out)
        if "recipes" in options.parts and device.type == "cuda" and torch.cuda.device_count() > 1:
            result["two_gpus"] = two_gpus(Path(name) / "text", Path(name))
    result["scores"] = scores.compared(result["scores"])
    return result


Work = Callable[[], list[dict[str, Any]]]
"""Returns rows of a part."""


def works(options: argparse.Namespace, device: torch.device, folder: Path) -> Iterator[tuple[str, str, Work]]:
    """Yield what is checked one after the other: the part, its name, and the work itself."""
    registry, found = Registry.discover(installed_sources(os.environ)), accelerators.detect()
    names = options.recipes if options.recipes is not None else RECIPES[:1] if options.dry else RECIPES
    few = 1 if options.dry else FEW
    models = {}
    if {"recipes", "scores"} & set(options.parts):
        models = {
            "text": text_model(folder / "text", not options.dry),
            "photo": photo_model(folder / "photo", not options.dry),
        }
    if "recipes" in options.parts:
        for recipe in names:

            def trained(recipe: str = recipe) -> list[dict[str, Any]]:
                loaded = recipes.recipe_of(recipe, registry, models, folder, found, options.dry)
                return recipes.checked(loaded, registry, folder, device, 4 if options.dry else STEPS)

            yield "recipes", recipe, trained
    if "priors" in options.parts:
        for number, prior in enumerate(priors.PRIORS):
            row = partial(priors.checked, prior, registry, folder / f"prior-{number}", found, device, options.dry, few)
            yield "priors", prior.name, lambda row=row: [row()]
    if WORKED_OUT in options.parts:
        for number, prior in enumerate(priors.PRIORS):
            row = partial(counted.checked, prior, registry, folder / f"settings-{number}", options.dry)
            yield WORKED_OUT, f"{WORKED_OUT} of {prior.name}", lambda row=row: [row()]
        for recipe in COUNTED:
            rows = partial(scenes.checked, recipe, registry, folder / f"tiny-{recipe}", options.dry)
            yield "scenes", f"scene of {recipe}", rows
    if FULL in options.parts:
        for alias in full_steps.MODELS:
            rows = partial(full_steps.checked, alias, registry, folder / f"full-{alias}", options.dry)
            yield FULL, f"a step with {alias}", rows
    if "scores" in options.parts:
        for score in scores.SCORES:
            row = partial(scores.checked, score, registry, models["text"], folder, found, device, options.dry, few)
            yield "scores", score, lambda row=row: [row()]


def machine(device: torch.device) -> dict[str, Any]:
    """Return what was measured on."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": str(device),
        "packages": [name for name in PACKAGES if importlib.util.find_spec(name) is not None],
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": properties.name,
            "memory_bytes": properties.total_memory,
            "gpus": torch.cuda.device_count(),
            "driver": accelerators.cuda_driver().cuda if accelerators.cuda_driver() else None,
        }
    return facts


def tests(device: torch.device) -> dict[str, Any]:
    """Run the tests of the kernels and their adapters: with the real packages on a GPU."""
    marked = ["-m", "gpu"] if device.type == "cuda" else []
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *marked, TESTS], cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {"code": done.returncode, "last_line": (done.stdout.strip().splitlines() or [""])[-1]}


def two_gpus(model: Path, folder: Path) -> dict[str, Any]:
    """Train a recipe for a few steps in two processes with a GPU each."""
    command = [
        sys.executable, "launch.py", "--config", "dreamfusion-sd", "--profile", "cuda", "trainer.devices=2",
        "trainer.steps=5", "trainer.image_every=0", "export=null", f"output={folder}",
        "system.tasks.random.views.batch_size=2", f"system.tasks.random.guidance.model={model}",
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {"code": done.returncode, "seconds": time.perf_counter() - start, "last_lines": done.stderr[-500:]}
