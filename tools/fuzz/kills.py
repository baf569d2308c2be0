"""Family `kills`: runs that are interrupted at reproducible moments and resumed must end like an uninterrupted one."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fuzz.case import START, Case, Command, Interruption, random_of
from fuzz.stock import LONG_STEPS, Stock

FAMILY = "kills"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def make(stock: Stock, seed: int, number: int, sandbox: Path) -> Case:
    """Create case `number`: one to three interruptions between the first and the last call, then a run to the end."""
    source = random_of(seed, FAMILY, number)
    shutil.copy(stock.long_recipe, sandbox / "recipe.yaml")
    moments = [_moment(stock, source) for _ in range(source.choice((1, 1, 2, 3)))]
    commands = [Command(("run", START), most_steps=LONG_STEPS, interruption=moment) for moment in (*moments, None)]
    what = ", ".join(f"{signal.Signals(item.signal).name} at call {item.call} of {stock.calls[0]}" for item in moments)
    return Case(FAMILY, number, what, tuple(commands), verify=partial(differences, stock.unbroken))


def _moment(stock: Stock, source: random.Random) -> Interruption:
    """Return an interruption; three of four are during training, which has the smaller part of the calls."""
    total, first, last = stock.calls
    call = source.randrange(first, last) if source.random() < 0.75 else source.randrange(1, total)
    return Interruption(int(source.choice(SIGNALS)), call)


def differences(unbroken: Path, sandbox: Path) -> list[str]:
    """Return differences between the resumed run and the uninterrupted one; empty if they are equal."""
    import torch

    found = sorted(sandbox.glob("outputs/*/*/manifest.json"))
    if len(found) != 1:
        return [f"there are {len(found)} run folders"]
    run = found[0].parent
    wrong = [
        f"left over: {path.relative_to(run)}"
        for path in sorted(run.rglob(".*"))
        if not (unbroken / path.relative_to(run)).exists()
    ]
    for path in sorted(unbroken.glob("checkpoints/*")):
        name = path.relative_to(unbroken)
        if not (run / name).is_file():
            wrong.append(f"{name} is missing")
            continue
        one, two = (torch.load(folder / name, map_location="cpu", weights_only=True) for folder in (unbroken, run))
        kinds = {
            place.split("/")[1]
            for place in unequal(one, two)
            if place.startswith(("/state_dict", "/optimizer", "/global_step"))
        }
        wrong += [f"{name} differs in {kind}" for kind in sorted(kinds)]
    for name in ("metrics/*.csv", "export/*.glb", "images/*.png"):
        for path in sorted(unbroken.glob(name)):
            other = run / path.relative_to(unbroken)
            if not other.is_file() or other.read_bytes() != path.read_bytes():
                wrong.append(f"{path.relative_to(unbroken)} {'differs' if other.is_file() else 'is missing'}")
    return wrong


def unequal(one: Any, two: Any, place: str = "") -> Iterator[str]:
    """Yield the paths at which two trees of tensors and values differ; NaNs compare equal."""
    import torch

    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        same_kind = one.shape == two.shape and one.dtype == two.dtype
        if not same_kind or not bool(((one == two) | ((one != one) & (two != two))).all()):
            yield place
    elif isinstance(one, dict) and isinstance(two, dict):
        for key in {**one, **two}:
            if key in one and key in two:
                yield from unequal(one[key], two[key], f"{place}/{key}")
            else:
                yield f"{place}/{key}"
    elif isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)) and len(one) == len(two):
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from unequal(left, right, f"{place}/{index}")
    elif one != two:
        yield place
