"""Checks before a run that this machine has the files and the memory required by a recipe. No torch.

Besides `bozzetto.fields.FilePath`, a config may declare its minimum requirements by methods without arguments:
`least_bytes()`, main memory by the field that determines it; for a view source `pixels_per_step()`; for a renderer
`bytes_per_pixel()` during a training step. Estimates are low, so that nothing is rejected that might run.
`require_readable()` raises `ConfigError` if the config's files cannot be read as what they should be.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

from bozzetto.errors import ConfigError, did_you_mean, shown
from bozzetto.fields import FilePath, each_place, marked
from bozzetto.parameters import stage_specs
from bozzetto.recipe import Component, Recipe, Stage

TRAINED_BYTES, LOCKED_BYTES = 16, 4
"""Bytes per number: the parameter, its gradient and Adam's two moments; or the parameter only."""
LONGEST_NAME = 255
"""Maximum bytes of a file name, on every common file system."""
GB = 1e9
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_machine(
    recipe: Recipe, memory_bytes: int | None = None, reads: Callable[[Stage, Component], bool] = lambda *_: True
) -> None:
    """Raise `ConfigError` for a missing file, or a setting that cannot fit into memory.

    Args:
        memory_bytes: available memory; None: that of this machine available to one process, if known.
        reads: whether a component of a stage will read its files; not needed if a checkpoint holds its state.
    """
    exporters = [component for _, component in recipe.exports]
    memory_bytes = memory_bytes or machine_memory()
    for stage in recipe.stages:
        try:
            for component in stage.components:
                if reads(stage, component):
                    check_files(component)
                _check_least(component, memory_bytes)
            _check_parameters(stage, memory_bytes)
            _check_pictures(stage, memory_bytes)
        except ConfigError as error:
            error.stage = stage.name
            raise
    for component in exporters:
        check_files(component)
        _check_least(component, memory_bytes)


def check_output(recipe: Recipe) -> None:
    """Raise `ConfigError` if a new run cannot create its folder in `output`."""
    place = Path(recipe.output)
    cure = "Choose another folder: output=FOLDER."
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in place.parts):
        raise ConfigError(f"output: {shown(str(place), 300)} has a name of more than {LONGEST_NAME} bytes. {cure}")
    for folder in (place, *place.parents):
        try:
            mode = folder.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"output: {shown(str(place), 300)} cannot be used: {told}. {cure}") from error
        if not stat.S_ISDIR(mode):
            raise ConfigError(f"output: {shown(str(folder), 300)} is a file, and a folder is needed. {cure}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"output: {shown(str(folder), 300)} is not writable. {cure}")
        return


def check_files(component: Component) -> None:
    """Raise `ConfigError` if a field that names a file names one that does not exist or cannot be used."""
    for value, marker, name in _files_in(component.config):
        if not value or marker.or_name:
            continue
        path = Path(value).expanduser()
        if marker.beside:
            path = Path(_get(component.config, marker.beside)).expanduser().parent / path
        if not _is_file(path):
            raise ConfigError(f"{component.where}.{name}: there is no file {shown(str(path), 300)}.{_nearest(path)}")
    if read := getattr(component.config, "require_readable", None):
        read()


def files_named(config: object) -> list[tuple[str, FilePath]]:
    """Return the values of a config's fields that name files, empty ones included, and their markers."""
    return [(value or "", marker) for value, marker, _ in _files_in(config)]


def _files_in(config: object) -> list[tuple[str | None, FilePath, str]]:
    """Return value, marker and name of each field that names a file."""
    places = each_place(marked(type(config), FilePath), partial(_get, config))
    return [(_get(config, name), marker, name) for name, marker in places]


def machine_memory() -> int | None:
    """Return the bytes of main memory available to this process; None if unknown."""
    limits = []
    with suppress(ValueError, OSError, AttributeError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # missing, or "max"
            limits.append(int(Path(path).read_text(encoding="ascii")))
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        limits += [soft] if soft != resource.RLIM_INFINITY else []
    return min((limit for limit in limits if limit > 0), default=None)


def _check_parameters(stage: Stage, limit: int | None) -> None:
    largest, total = ("", "", 0), 0
    for part, specs in stage_specs(stage).items():
        for name, spec in (specs or {}).items():
            count = spec.size * (TRAINED_BYTES if spec.trained else LOCKED_BYTES)
            total, largest = total + count, max(largest, (part, name, count), key=lambda item: item[2])
    if limit is not None and total > limit:
        part, name, count = largest
        raise ConfigError(
            f"system.{part}: its parameters take {_gb(total)} at least, with gradients and Adam's moments, and this "
            f"machine has {_gb(limit)}. The largest is {name}, {_gb(count)}: lower what sets its size."
        )


def _check_pictures(stage: Stage, limit: int | None) -> None:
    per_pixel = _number(stage.renderer.config, "bytes_per_pixel")
    for task in stage.tasks:
        pixels = _number(task.views.config, "pixels_per_step")
        if limit is not None and per_pixel and pixels and per_pixel * pixels > limit:
            raise ConfigError(
                f"{task.views.where}: a step of {pixels} pixels takes {_gb(per_pixel * pixels)} at least with these "
                f"settings of renderer {stage.renderer.name!r}, and this machine has {_gb(limit)}. Lower batch_size, "
                "height and width, or the samples of the renderer."
            )


def _check_least(component: Component, limit: int | None) -> None:
    """Check every field's minimum memory; the message gives the largest integer value that would fit."""
    least: Callable[[], dict[str, int]] | None = getattr(component.config, "least_bytes", None)
    for name, count in (least() if least else {}).items():
        if limit is not None and count > limit:
            largest = _largest(component.config, name, limit)
            cure = f" At most {largest} fits." if largest else ""
            raise ConfigError(
                f"{component.where}.{name}: {shown(_get(component.config, name))} takes {_gb(count)} at least, and "
                f"this machine has {_gb(limit)}.{cure}"
            )


def _largest(config: Any, name: str, limit: int) -> int | None:
    """Return the largest value of a field that fits; None if it is not an integer, or none fits."""
    value = getattr(config, name)
    if not isinstance(value, int):
        return None

    def fits(smaller: int) -> bool:
        try:
            return bool(replace(config, **{name: smaller}).least_bytes()[name] <= limit)
        except ValueError:
            return False

    low, high = 0, value  # fits, does not fit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low and fits(low) else None


def _number(config: object, method: str) -> int | None:
    found = getattr(config, method, None)
    return None if found is None else int(found())


def _get(config: Any, dotted: str) -> Any:
    """Return the value of a dotted field; `list.0` is the first item of a list."""
    return reduce(_inside, dotted.split("."), config)


def _inside(one: Any, name: str) -> Any:
    return one[int(name)] if isinstance(one, tuple) else getattr(one, name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or contains NUL
        return False


def _nearest(path: Path) -> str:
    """Return the nearest name in the same folder, or that there is no such folder."""
    try:
        here: Iterable[str] = [item.name for item in path.parent.iterdir()]
    except (OSError, ValueError):
        return f" There is no folder {shown(str(path.parent), 300)} either." if not _is_folder(path.parent) else ""
    return did_you_mean(path.name, here)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _gb(count: int) -> str:
    return f"{count / GB:.3g} GB" if count < 1e15 else f"{count / 1e15:.3g} million GB"
