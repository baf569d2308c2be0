"""Convert every threestudio recipe below some folders, check each, and train two steps with the bundled priors.

    python tools/convert_all.py FOLDER... [--train] [--photo photo.png] [--only TEXT]

Prints a table, then counts. Exits with 1 if a recipe does not convert, or one that `check` accepts does not train.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image

from bozzetto.cli import main as bozzetto

PHOTO = Path(__file__).parents[1] / "configs" / "photos" / "hamburger.png"
MESH = "v -0.4 -0.4 -0.4\nv 0.4 -0.4 -0.4\nv 0 0.4 -0.4\nv 0 0 0.4\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"
"""Tetrahedron that replaces meshes which a recipe names and which are not available."""
SIZES = {"views.height": 16, "views.width": 16, "views.eval_height": 16, "views.eval_width": 16, "views.batch_size": 1}


@dataclass(frozen=True)
class Result:
    """Outcome of one recipe."""

    path: Path
    converted: str
    """`ok`, or the error."""
    checked: str = "-"
    trained: str = "-"
    notices: int = 0
    seconds: float = 0.0


def recipes(folders: list[Path]) -> Iterator[Path]:
    """Yield every file that looks like a threestudio recipe, without duplicates."""
    seen = set()
    for path in sorted(path for folder in folders for path in folder.rglob("*.y*ml")):
        text = path.read_bytes()
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError:
            continue
        system = values.get("system") if isinstance(values, dict) else None
        theirs = isinstance(system, dict) and ("system_type" in values or any(key.endswith("_type") for key in system))
        if theirs and text not in seen:
            seen.add(text)
            yield path


def call(*words: str) -> tuple[int, str]:
    """Run one command; return its exit code and its output."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = bozzetto(list(words))
        except Exception as error:  # errors that this tool is meant to find
            return 99, f"{type(error).__name__}: {error}"
    return code, said.getvalue().strip()


def given(values: dict, photo: Path, folder: Path) -> list[str]:
    """Return overrides for required user inputs, and for referenced files that are not available."""
    words = [f"image={photo}"] if "image" in values else []
    words += ["prompt=a red chair"] if values.get("prompt") == "???" or "image" in values else []
    mesh = folder / "mesh.obj"
    mesh.write_text(MESH, encoding="utf-8")
    for name, stage in stages(values):
        geometry = stage.get("geometry", {})
        for key in ("asset", "start_mesh"):
            if (geometry.get("type") == "mesh" and key == "asset") or "path" in geometry.get(key, {}):
                words.append(f"{name}system.geometry.{key}.path={mesh}")
        for task, parts in stage.get("tasks", {}).items():
            views = parts.get("views", {})
            for key in ("depth", "normal"):
                if views.get(key):
                    Image.open(photo).convert("L" if key == "depth" else "RGB").save(folder / f"{key}.png")
                    words.append(f"{name}system.tasks.{task}.views.{key}={folder / f'{key}.png'}")
    return words


def stages(values: dict) -> Iterator[tuple[str, dict]]:
    """Yield the key prefix and the system of each stage."""
    if "system" in values:
        yield "", values["system"]
    for name, stage in values.get("stages", {}).items():
        yield f"stages.{name}.", stage["system"]


def small(values: dict) -> list[str]:
    """Return overrides that make two steps fast."""
    words = ["export=null", "trainer.image_every=0"]
    for name, stage in stages(values):
        words += [f"{name}trainer.steps=2", f"{name}trainer.image_every=0"]
        if stage["geometry"]["type"] == "dmtet":
            words.append(f"{name}system.geometry.resolution=12")
        if stage["renderer"]["type"] == "volume":
            words.append(f"{name}system.renderer.samples_per_ray=32")
        for task in stage["tasks"]:
            sizes = {key: value for key, value in SIZES.items() if task != "reference" or "batch_size" not in key}
            words += [f"{name}system.tasks.{task}.{key}={value}" for key, value in sizes.items()]
    return words


def try_one(path: Path, folder: Path, photo: Path, train: bool) -> Result:
    """Convert, check and train one recipe."""
    started, ours = time.monotonic(), folder / "new" / "ours.yaml"
    code, said = call("convert", str(path), "-o", str(ours))
    if code:
        return Result(path, said)
    values = yaml.safe_load(ours.read_text(encoding="utf-8"))
    words, profile = given(values, photo, folder), ["--profile", "cpu"]
    code, said = call("check", str(ours), *profile, *words)
    checked = "ok" if code == 0 else said
    trained = "-"
    if train and code == 0:
        output = f"output={folder / 'runs'}"
        code, said = call("run", "--config", str(ours), *profile, *words, *small(values), output)
        trained = "ok" if code == 0 else said
    return Result(path, "ok", checked, trained, len(values.get("stand_ins", ())), time.monotonic() - started)


def short(text: str) -> str:
    """Return the last error of an output on one line."""
    lines = [line[line.index("error:") :] for line in text.splitlines() if "error:" in line] or text.splitlines()[-1:]
    return (lines or [""])[0][:150]


def main() -> int:
    """Print a row per recipe and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--train", action="store_true", help="two steps of each, with the bundled priors")
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--only", default="", metavar="TEXT", help="paths that hold this")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for path in recipes(options.folders):
        if options.only not in str(path):
            continue
        with tempfile.TemporaryDirectory() as folder:
            result = try_one(path, Path(folder), options.photo, options.train)
        cells = [short(cell) for cell in (result.converted, result.checked, result.trained)]
        print("  ".join([f"{result.seconds:5.1f} s", *cells, f"{result.notices} notices", str(path)]), flush=True)
        counts["recipes"] += 1
        counts["converted"] += result.converted == "ok"
        counts["checked"] += result.checked == "ok"
        counts["trained"] += result.trained == "ok"
        counts["with notices"] += result.notices > 0
        counts["bad"] += result.converted != "ok" or (result.checked == "ok" and result.trained not in ("ok", "-"))
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    return int(counts["bad"] > 0)


if __name__ == "__main__":
    sys.exit(main())
