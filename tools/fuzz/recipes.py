"""Family `recipes`: damaged recipes, and overrides on recipes and on existing runs."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fuzz import poison
from fuzz.case import Case, Command, random_of
from fuzz.stock import STEPS, Stock

FAMILY = "recipes"
SORTS = {
    "values": 40,
    "likely": 20,
    "structure": 15,
    "names": 8,
    "bytes": 8,
    "bomb": 2,
    "overrides": 30,
    "existing": 12,
}
"""Kinds of cases with their sampling weights."""
MARK = "RAW{}RAW"
"""Placeholder in dumped values that is replaced by raw YAML text."""

Path_ = tuple[str | int, ...]


def make(stock: Stock, seed: int, number: int, sandbox: Path) -> Case:
    """Create case `number`: a file `recipe.yaml` or a run folder, and commands on it."""
    source = random_of(seed, FAMILY, number)
    sort = source.choices(tuple(SORTS), tuple(SORTS.values()))[0]
    if sort in ("overrides", "existing"):
        return _with_overrides(stock, source, number, sandbox, existing=sort == "existing")
    name = source.choice(sorted(stock.recipes))
    content, what = SOURCES[sort](copy.deepcopy(stock.recipes[name]), stock, source, _outside(sandbox))
    (sandbox / "recipe.yaml").write_bytes(content)
    return Case(FAMILY, number, f"{name}: {what}", _check_and_run(("recipe.yaml",), ()), reads="free")


def _outside(sandbox: Path) -> str:
    return str(sandbox.parent / "outside")


def _check_and_run(recipe: tuple[str, ...], overrides: tuple[str, ...]) -> tuple[Command, ...]:
    return (
        Command(("check", *recipe, *overrides)),
        Command(
            ("run", "--config", *recipe, *overrides), only_after_success=True, must_agree=True, may_diverge=True, may_run_out=True,
            most_steps=STEPS,
        ),
    )  # fmt: skip


def _with_overrides(stock: Stock, source: random.Random, number: int, sandbox: Path, existing: bool) -> Case:
    name = "dreamfusion-sd" if existing else source.choice(sorted(stock.recipes))
    values = stock.recipes[name]
    items = tuple(_override(values, source, _outside(sandbox)) for _ in range(source.choice((1, 1, 1, 2, 3))))
    what = f"{name} {' '.join(items)[:200]}"
    if not existing:
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        (sandbox / "recipe.yaml").write_text(text, encoding="utf-8")
        return Case(FAMILY, number, what, _check_and_run(("recipe.yaml",), items), reads="free")
    shutil.copytree(stock.finished, sandbox / "run")
    if source.random() < 0.5:
        manifest = sandbox / "run" / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"finished": true', '"finished": false'))
    words = source.choice((("run", "--resume", "run"), ("export", "run"), ("run", "--resume", "run", "--dry-run")))
    command = Command((*words, *items), may_diverge=True, may_run_out=True, most_steps=2 * STEPS)
    return Case(FAMILY, number, f"{' '.join(words)}: {what}", (command,), reads="free")


def _override(values: dict[str, Any], source: random.Random, outside: str) -> str:
    place = source.choice([path for path in _paths(values) if all(isinstance(part, str) for part in path)])
    key = ".".join(map(str, place))
    if source.random() < 0.08:
        key = source.choice(
            (f"{key}.x", f"{key}[0]", key[:-1], f"x.{key}", key.upper(), "", ".", "..", f"{key}.", "-x", "a" * 5000)
        )
    if source.random() < 0.03:
        return source.choice((key, "=", f"{key}==", "--config=x", "\udcff", f"{key}=\udc80", f"prompt={chr(0xDCFF)}"))
    if place[-1] == "output":
        return "output=elsewhere"
    return f"{key}={_value_for(_get(values, place), source, outside)}"


def _values(values: dict[str, Any], stock: Stock, source: random.Random, outside: str) -> tuple[bytes, str]:
    """Replace some values by wrong ones, sometimes after exchanging a component."""
    raw: list[str] = []
    what = []
    if source.random() < 0.3:
        what.append(_exchange(values, stock, source))
    for _ in range(source.choice((1, 1, 1, 1, 2, 3))):
        place = source.choice([path for path in _paths(values) if path[-1] != "output"])
        raw.append(_value_for(_get(values, place), source, outside))
        _set(values, place, MARK.format(len(raw) - 1))
        what.append(f"{_shown(place)}={raw[-1][:60]}")
    return _dump(values, raw), ", ".join(what)


def _likely(values: dict[str, Any], stock: Stock, source: random.Random, outside: str) -> tuple[bytes, str]:
    """Replace some numbers and switches by others that may be legal, alone or together."""
    what = [_exchange(values, stock, source)] if source.random() < 0.3 else []
    for _ in range(source.choice((1, 2, 3, 6))):
        place = source.choice([path for path in _paths(values) if isinstance(_get(values, path), (bool, int, float))])
        old = _get(values, place)
        changed: Any = not old
        if not isinstance(old, bool):
            new = source.choice((old * source.choice((0.5, 0.9, 1.1, 2, 4, 16)), 0, 1, -old, old + 1))
            changed = int(new) if isinstance(old, int) else float(new)
        _set(values, place, changed)
        what.append(f"{_shown(place)}={changed}")
    return _dump(values, []), ", ".join(what)


def _value_for(old: object, source: random.Random, outside: str) -> str:
    """Return mostly a value of the correct type, because the others are all refused by the same few lines."""
    kind = source.random()
    if kind < 0.25:
        return poison.value(source, outside)
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        return poison.near(old, source) if kind < 0.7 else source.choice(poison.NUMBERS)
    if isinstance(old, list):
        return f"[{', '.join(_value_for(item, source, outside) for item in old)}]"
    if isinstance(old, str) and kind < 0.8:
        return source.choice((*poison.NAMES, *poison.INTERPOLATIONS)).replace("{outside}", outside)
    return poison.value(source, outside)


def _exchange(values: dict[str, Any], stock: Stock, source: random.Random) -> str:
    """Replace a component by another of its kind, with its default fields."""
    typed = [path[:-1] for path in _paths(values) if path[-1] == "type" and "optimizer" not in path]
    places = [path for path in typed if "score" not in path[:-1]]  # the choices of a score are no components
    place = source.choice(places)
    kind = next(kind for kind, names in stock.fields.items() if _get(values, place)["type"] in names)
    name = source.choice(sorted(stock.fields[kind]))
    _set(values, place, {"type": name, **copy.deepcopy(stock.fields[kind][name])})
    return f"{_shown(place)} is {name}"


def _structure(values: dict[str, Any], stock: Stock, source: random.Random, outside: str) -> tuple[bytes, str]:
    """Remove, rename, duplicate, move or retype a section."""
    place = source.choice(list(_paths(values)))
    shown = _shown(place)
    holder, last = _get(values, place[:-1]), place[-1]
    kind = source.choice(
        ("missing", "unknown", "renamed", "twice", "moved", "one value", "list", "deep", "extends", "top")
    )
    raw = [poison.value(source, outside)]
    if kind == "missing":
        del holder[last]
    elif kind in ("unknown", "renamed") and isinstance(holder, dict):
        holder[source.choice((f"{last}x", str(last)[:-1], "x", 1, None, True, "a.b", "__class__"))] = holder[last]
        if kind == "renamed":
            del holder[last]
    elif kind == "twice":
        text = _dump(values, []).decode()
        line = source.choice(text.splitlines())
        return text.replace(line + "\n", f"{line}\n{line}\n", 1).encode(), f"twice: {line.strip()[:60]}"
    elif kind == "moved":
        other = source.choice(list(_paths(values)))
        _set(values, other, copy.deepcopy(holder[last]))
        shown += f" to {_shown(other)}"
    elif kind == "list":
        holder[last] = [holder[last]]
    elif kind == "deep":
        for _ in range(source.choice((5, 50, 150))):
            holder[last] = {"a": holder[last]}
    elif kind == "extends":
        values["extends"] = source.choice(
            ("recipe.yaml", "./recipe.yaml", "dreamfusion-sd", "bozzetto/zero123", MARK.format(0))
        )
    elif kind == "top":
        values[source.choice(("profiles", "stages", "plugins", "name", "summary", "x", "export", "trainer"))] = (
            MARK.format(0)
        )
        shown = raw[0][:60]
    else:
        holder[last] = source.choice((MARK.format(0), 20, "x", None))
    return _dump(values, raw), f"{kind}: {shown}"


def _names(values: dict[str, Any], stock: Stock, source: random.Random, outside: str) -> tuple[bytes, str]:
    """Give a stage, a task, an export or the recipe an invalid name."""
    raw = [poison.name(source, outside)]
    kind = source.choice(("name", "stage", "stage", "task", "export", "export"))
    system = values.get("system") or next(iter(values["stages"].values()))["system"]
    if kind == "name":
        values["name"] = MARK.format(0)
    elif kind == "task":
        tasks = system["tasks"]
        tasks[MARK.format(0)] = tasks.pop(next(iter(tasks)))
    elif kind == "export":
        values["export"][MARK.format(0)] = {**values["export"].pop("turntable"), "frames": 2}
    else:
        stages = values.get("stages") or {"main": {}}
        last = list(stages)[-1]
        values["stages"] = {MARK.format(0) if name == last else name: stage for name, stage in stages.items()}
        for trainer in [values.get("trainer"), *((stage or {}).get("trainer") for stage in values["stages"].values())]:
            if trainer:
                trainer["image_every"] = 1
    return _dump(values, raw), f"{kind} is called {raw[0][:60]}"


def _bytes(values: dict[str, Any], stock: Stock, source: random.Random, outside: str) -> tuple[bytes, str]:
    """Damage the text byte by byte, or change its encoding."""
    content = _dump(values, [])
    if source.random() < 0.15:
        encoding = source.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "cp1252"))
        return content.decode().replace("a hamburger", "a café").encode(encoding, "replace"), encoding
    if source.random() < 0.1:
        return poison.garbage(source), "something else"
    what = []
    for _ in range(source.choice((1, 1, 2, 5))):
        content, said = poison.damage(content, source)
        what.append(said)
    return content, ", ".join(what)


def _bomb(values: dict[str, Any], stock: Stock, source: random.Random, outside: str) -> tuple[bytes, str]:
    """Create exponentially growing aliases, deep nesting, or circular references."""
    levels = source.choice((6, 9, 30))
    opening = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, levels))
    bomb = f"a0: &a0 [x, x, x]\n{opening}"
    place = source.choice(
        ("x: 1\n", f"prompt: *a{levels - 1}\n", f"system: *a{levels - 1}\n", f"plugins: *a{levels - 1}\n")
    )
    depth = source.choice((1_000, 20_000, 100_000))
    texts = (
        (bomb + place, f"aliases of {levels} levels"),
        ("prompt: " + "[" * depth + "]" * depth, f"{depth} brackets"),
        ("prompt: " + "{a: " * depth + "1" + "}" * depth, f"{depth} braces"),
        ("".join(" " * i + "a:\n" for i in range(min(depth, 3000))), "steps to the right"),
        ("system: &s {a: *s}\n", "itself"),
        ("system: &s\n  geometry: *s\n  <<: *s\n", "merged with itself"),
        ("prompt: ${a}\na: ${b}\nb: ${a}\n", "interpolated in a circle"),
        ("prompt: " + "${" * 2000 + "a" + "}" * 2000, "interpolations in each other"),
        ("prompt: " + "a" * 10_000_000, "a long prompt"),
        ("".join(f"k{i}: 1\n" for i in range(50_000)), "many keys"),
        ("- " * depth + "x", "lists in lists"),
    )  # fmt: skip
    text, what = source.choice(texts)
    rest = yaml.safe_dump(values, sort_keys=False) if source.random() < 0.5 else ""
    return (text + "\n" + rest).encode(), what


SOURCES = {
    "values": _values,
    "likely": _likely,
    "structure": _structure,
    "names": _names,
    "bytes": _bytes,
    "bomb": _bomb,
}


def _dump(values: dict[str, Any], raw: list[str]) -> bytes:
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)
    for index, item in enumerate(raw):
        text = text.replace(MARK.format(index), item)
    return text.encode("utf-8", "surrogatepass")


def _paths(values: object, below: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every value, including sections."""
    items: Any = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*below, key)
        yield from _paths(value, (*below, key))


def _get(values: Any, place: Path_) -> Any:
    for part in place:
        values = values[part]
    return values


def _set(values: Any, place: Path_, value: object) -> None:
    _get(values, place[:-1])[place[-1]] = value


def _shown(place: Path_) -> str:
    return ".".join(map(str, place))
