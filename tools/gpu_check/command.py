"""Command line of the check: runs its parts one after the other, and writes one JSON file and a table.

python tools/gpu_check --out FOLDER             # a machine with a GPU, less than ten minutes
python tools/gpu_check --out FOLDER --dry       # tiny, on the CPU: shows that the check itself runs
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bozzetto.files import write_text
from bozzetto.machine import accelerators
from bozzetto.registry.discovery import Registry, installed_sources
from gpu_check import kernels, recipes
from gpu_check.models import photo_model, text_model

ROOT = Path(__file__).parents[2]
RECIPES = ("dreamfusion-sd", "zero123", "magic123", "fantasia3d", "magic3d", "prolificdreamer", "sds")
TESTS = "tests/framework/kernels/cuda"
PACKAGES = ("tinycudann", "nerfacc", "nvdiffrast", "warp")
MINUTES = 9.0
STEPS = 20


def main(words: Sequence[str] | None = None) -> int:
    """Run the check; return 0 if nothing failed, else 1."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, gpu_check.json and .md")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--recipes", nargs="*", default=None, metavar="NAME", help="default: the main methods")
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests of the kernels")
    options = parser.parse_args(words)
    if not options.dry and not torch.cuda.is_available():
        print(f"error: there is no GPU: {accelerators.detect().reason}. Try --dry.", file=sys.stderr)
        return 2
    result = check(options)
    write_text(options.out / "gpu_check.json", json.dumps(result, indent=2) + "\n")
    text = table(result)
    write_text(options.out / "gpu_check.md", text)
    print(text)
    return 1 if failures(result) else 0


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Return all results."""
    until = time.monotonic() + 60.0 * MINUTES
    device = torch.device("cpu" if options.dry else "cuda")
    names = options.recipes if options.recipes is not None else RECIPES[:1] if options.dry else RECIPES
    result: dict[str, Any] = {"machine": machine(device), "recipes": [], "skipped": []}
    if not options.no_tests:
        result["tests"] = tests(device)
    result["kernels"] = kernels.measured(device, options.dry)
    registry, found = Registry.discover(installed_sources(os.environ)), accelerators.detect()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {
            "text": text_model(folder / "text", not options.dry),
            "photo": photo_model(folder / "photo", not options.dry),
        }
        for recipe in names:
            if time.monotonic() > until:
                result["skipped"].append(recipe)
                continue
            loaded = recipes.recipe_of(recipe, registry, models, folder, found, options.dry)
            result["recipes"] += recipes.checked(loaded, registry, folder, device, 4 if options.dry else STEPS)
        if device.type == "cuda" and torch.cuda.device_count() > 1:
            result["two_gpus"] = two_gpus(models["text"], folder)
    return result


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


def failures(result: dict[str, Any]) -> list[str]:
    """Return what failed, in words."""
    found = [f"{row.get('recipe', row.get('kernel'))}: {row['error']}" for row in rows_of(result) if "error" in row]
    if result.get("tests", {}).get("code", 0) not in (0, 5):  # 5: every test needs a package that is missing
        found.append(f"tests: {result['tests']['last_line']}")
    if result.get("two_gpus", {}).get("code", 0):
        found.append(f"two GPUs: {result['two_gpus']['last_lines']}")
    return found


def rows_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of recipes and kernels."""
    return [*result["recipes"], *result["kernels"]]


def table(result: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [f"# {result['machine'].get('gpu', 'CPU (dry)')}, torch {result['machine']['torch']}", ""]
    lines.append("| recipe | profile | stage | s/step | peak GiB | syncs | resume difference |")
    lines.append("|---|---|---|--:|--:|--:|--:|")
    for row in result["recipes"]:
        named = f"| {row['recipe']} | {row['profile']} | {row['stage']} |"
        if "error" in row:
            lines.append(f"{named} {row['error'].replace('|', '/')} | | | |")
            continue
        peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:.2f}"
        syncs = "" if row["syncs"] is None else row["syncs"]
        lines.append(f"{named} {row['s_per_step']:.4f} | {peak} | {syncs} | {row['resume_difference']:.3g} |")
    lines += ["", "| kernel | torch ms | chosen ms | of bandwidth |", "|---|--:|--:|--:|"]
    for row in result["kernels"]:
        if "error" in row:
            lines.append(f"| {row['kernel']} | {row['error'].replace('|', '/')} | | |")
            continue
        share = f"{100 * row['bandwidth_share']:.0f} %"
        lines.append(f"| {row['kernel']} | {1e3 * row['torch_s']:.3f} | {1e3 * row['chosen_s']:.3f} | {share} |")
    lines.append("")
    lines += [f"failed: {text}" for text in failures(result)]
    lines += [f"skipped: {name}" for name in result["skipped"]]
    return "\n".join(lines) + "\n"
