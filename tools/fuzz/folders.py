"""Family `folders`: run folders and model folders that are truncated, emptied, mixed up, or lack files."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from fuzz import poison
from fuzz.case import Case, Command, random_of
from fuzz.stock import STEPS, Stock

FAMILY = "folders"
WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, float("nan"), 10**30, "", "x", [], {}, [1], {"a": 1}, "../../x", "/x", "\ud800", [[]], {"main": None},
    {"main": 1}, {"main": {"finished": "no"}}, {"main": []}, "x" * 100_000,
)  # fmt: skip
"""Wrong values for fields of a JSON file."""


def make(stock: Stock, seed: int, number: int, sandbox: Path) -> Case:
    """Create case `number`: a damaged copy of a run or model folder, and commands on it."""
    source = random_of(seed, FAMILY, number)
    if source.random() < 0.55:
        return _run(stock, source, number, sandbox)
    return _model(stock, source, number, sandbox)


def _run(stock: Stock, source: random.Random, number: int, sandbox: Path) -> Case:
    folder = sandbox / "run"
    shutil.copytree(stock.finished, folder)
    if source.random() < 0.5:
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"finished": true', '"finished": false'))
    what: list[str] = []
    place = folder
    for _ in range(source.choice((1, 1, 1, 2))):
        before = place
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink()]
        files = [path for path in files if path != before]
        important = [
            path for path in files if path.name in ("manifest.json", "recipe.yaml") or path.suffix in (".ckpt", ".csv")
        ]
        folders = [path for path in sorted(folder.rglob("*")) if path.is_dir() and not path.is_symlink()]
        place = source.choice((*important, *important, *important, *files, *folders) or (folder,))
        what.append(f"{place.relative_to(folder)}: {_damage_run_file(place, source)}")
    words = source.choice(
        (
            ("run", "--resume", "run"),
            ("run", "--resume", "run"),
            ("export", "run"),
            ("run", "--resume", "run", "--from-stage", "main"),
        )
    )
    again = Command(words, may_diverge=True, most_steps=2 * STEPS)
    return Case(FAMILY, number, f"run: {', '.join(what)}", (again, Command(("export", "run"))))


def _damage_run_file(place: Path, source: random.Random) -> str:
    if place.suffix == ".json" and source.random() < 0.6:
        return _wrong_field(place, source)
    if place.suffix == ".ckpt" and source.random() < 0.5:
        return _wrong_checkpoint(place, source)
    if place.suffix == ".yaml" and source.random() < 0.5:
        values = yaml.safe_load(place.read_text())
        key = source.choice(sorted(values))
        values[key] = source.choice(WRONG[:-8])
        place.write_text(yaml.safe_dump(values), encoding="utf-8")
        return f"{key} is {values[key]!r}"
    return _damage_file(place, source)


def _damage_file(place: Path, source: random.Random) -> str:
    """Damage any file, or a folder, in a generic way."""
    kind = source.choice(("damage", "damage", "damage", "garbage", "garbage", "removed", "folder", "link", "locked"))
    if place.is_dir():
        kind = source.choice(("removed", "file", "link", "locked"))
    if kind == "damage":
        content, what = poison.damage(place.read_bytes(), source)
        place.write_bytes(content)
        return what
    if kind == "garbage":
        place.write_bytes(poison.garbage(source))
        return f"is {place.read_bytes()[:20]!r}"
    if kind == "locked":
        place.chmod(source.choice((0o000, 0o444)))
        return "permissions are taken away"
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_bytes(b"")
    elif kind == "link":
        target = source.choice(("nowhere", place.name, ".", "/dev/null", "../run"))
        place.symlink_to(target)
        return f"is a link to {target}"
    return f"is {kind}"


def _wrong_field(place: Path, source: random.Random) -> str:
    """Replace or delete a field of a JSON file, at any depth."""
    tree = json.loads(place.read_text(encoding="utf-8"))
    holder, key, where = tree, None, ""
    while isinstance(holder, (dict, list)) and holder:
        key = source.choice(sorted(holder) if isinstance(holder, dict) else list(range(len(holder))))
        where += f".{key}"
        below = holder[key]
        if not isinstance(below, (dict, list)) or not below or source.random() < 0.4:
            break
        holder = below
    if key is None:
        return "is as it was"
    if source.random() < 0.3:
        del holder[key]
        what = "missing"
    else:
        holder[key] = source.choice(WRONG)
        what = repr(holder[key])[:40]
    place.write_text(json.dumps(tree), encoding="utf-8")
    return f"{where[1:]} is {what}"


def _wrong_checkpoint(place: Path, source: random.Random) -> str:
    """Replace contents of a checkpoint, keeping it readable."""
    state = torch.load(place, map_location="cpu", weights_only=True)
    weights = state["state_dict"]
    name = source.choice(sorted(weights))
    kind = source.choice(("tensor", "shape", "dtype", "nan", "missing", "unknown", "key", "value", "pickle", "other"))
    if kind == "tensor":
        weights[name] = source.choice((None, 1, "x", []))
    elif kind == "shape":
        weights[name] = torch.zeros(source.choice(((0,), (3, 3), (1,) * 9)))
    elif kind == "dtype":
        weights[name] = weights[name].to(source.choice((torch.int64, torch.float64, torch.bool, torch.complex64)))
    elif kind == "nan":
        weights[name] = (
            torch.full_like(weights[name], float("nan")) if weights[name].is_floating_point() else weights[name]
        )
    elif kind == "missing":
        del weights[name]
    elif kind == "unknown":
        weights["geometry.none"] = torch.zeros(2)
    elif kind == "key":
        del state[source.choice(sorted(state))]
    elif kind == "value":
        key = source.choice(sorted(state))
        state[key] = source.choice((None, 0, -5, 10**9, "x", [], {}, [None], {"a": None}))
        kind = f"{key} is {state[key]!r}"
    else:
        place.unlink()
        torch.save(Path("x") if kind == "pickle" else source.choice(([], {}, torch.zeros(3), "x")), place)
        return f"holds {kind}"
    torch.save(state, place)
    return f"{kind} of {name}"


def _model(stock: Stock, source: random.Random, number: int, sandbox: Path) -> Case:
    posed = source.random() < 0.4
    folder = sandbox / "model"
    shutil.copytree(stock.posed_model if posed else stock.text_model, folder)
    recipe = stock.recipes["zero123" if posed else "dreamfusion-sd"]
    text = yaml.safe_dump({**recipe, "export": {}}, sort_keys=False, allow_unicode=True)
    (sandbox / "recipe.yaml").write_text(text, encoding="utf-8")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    place = source.choice(files)
    if place.suffix == ".json" and source.random() < 0.6:
        what = _wrong_field(place, source)
    elif place.suffix == ".safetensors" and source.random() < 0.6:
        what = _wrong_weights(place, source)
    else:
        what = _damage_file(place, source)
    words = ("run", "--config", "recipe.yaml", "system.tasks.random.guidance.model=model", "trainer.steps=1")
    what = f"{'posed' if posed else 'text'} model, {place.relative_to(folder)}: {what}"
    return Case(FAMILY, number, what, (Command(words, may_diverge=True, most_steps=1),))


def _wrong_weights(place: Path, source: random.Random) -> str:
    """Damage the header or the tensors of a safetensors file."""
    from safetensors.torch import load_file, save_file

    if source.random() < 0.5:
        content = place.read_bytes()
        length = source.choice((0, 1, 2**40, 2**63, len(content), 2))
        place.write_bytes(length.to_bytes(8, "little") + content[8:])
        return f"header of {length} bytes"
    weights = {name: value.clone() for name, value in load_file(place).items()}
    name = source.choice(sorted(weights))
    kind = source.choice(("missing", "all missing", "shape", "nan", "unknown", "dtype"))
    if kind == "missing":
        del weights[name]
    elif kind == "all missing":
        weights = {}
    elif kind == "shape":
        weights[name] = torch.zeros(source.choice(((0,), (3, 3), (2, 2, 2))))
    elif kind == "nan":
        weights = {key: torch.full_like(value, float("nan")) for key, value in weights.items()}
    elif kind == "unknown":
        weights["none"] = torch.zeros(2)
    else:
        weights[name] = weights[name].to(torch.int32)
    save_file(weights, place)
    return f"{kind} of {name}"
