"""Conversions of values: schedules, classifier-free guidance, grids, view thresholds, models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from bozzetto.config.binding import REQUIRED
from bozzetto_convert.rules import UNSET, Changed, How, Lost, Read

GUIDANCE = "system.guidance"
PROMPTS = "system.prompt_processor"
FILES = (".ckpt", ".safetensors", ".pth", ".pt")
CHECKPOINTS = {
    "zero123-xl.ckpt": "zero123-xl",
    "105000.ckpt": "zero123",
    "165000.ckpt": "zero123",
    "stable-zero123.ckpt": "stable-zero123",
    "stable_zero123.ckpt": "stable-zero123",
}
"""Aliases whose folder holds the same weights as a single file of threestudio."""


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number; booleans are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def schedule(value: Any) -> Any:
    """Convert threestudio's `C()`: a number, `[from, to, end]`, `[start, from, to, end]`, or more `to, end` pairs.

    An end written as a float counts epochs; a threestudio run has one endless epoch, so the value stays constant.
    """
    if is_number(value):
        return value
    if not isinstance(value, (list, tuple)) or len(value) not in (3, *range(4, 99, 2)):
        return Lost(f"{value!r} is neither a number nor a list of 3, 4 or more values as their schedules are")
    if not all(map(is_number, value)):
        return Lost(f"{value!r} holds a value that is not a number")
    start_step, start, *rest = (0, *value) if len(value) == 3 else tuple(value)
    end, end_step = rest[-2:]
    if isinstance(rest[1], float):
        return Changed(
            start,
            f"the end {rest[1]!r} of {value!r} is a float, which counts epochs there; its runs have one, so the value "
            f"stays {start:g}. If steps were meant, write "
            f"{{from: {start:g}, to: {end:g}, start_step: {int(start_step)}, until_step: {int(end_step)}}}",
        )
    if end_step <= start_step:
        return Lost(f"the schedule {value!r} ends before it starts")
    steps = {"start_step": int(start_step)} if start_step else {}
    ours = {"from": start, "to": end, **steps, "until_step": int(end_step)}
    if len(rest) > 2:
        return Changed(ours, f"a schedule here has one slope; {value!r} became the straight line from end to end")
    return ours


def largest(value: Any) -> float:
    """Return the largest value of a number or schedule (threestudio's `C_max`)."""
    if is_number(value):
        return float(value)
    return float(max(_numbers(value)))


def is_zero(value: Any) -> bool:
    """Return whether a number or schedule is 0 at every step."""
    if is_number(value):
        return value == 0
    if not isinstance(value, (list, tuple)) or len(value) < 3:
        return False
    return all(number == 0 for number in _numbers(value))


def _numbers(schedule: Any) -> list[Any]:
    """Return the values of a threestudio schedule, without its steps."""
    return list(schedule[:2]) if len(schedule) == 3 else [schedule[1], *schedule[2::2]]


def adjusted(value: Any, change: Any) -> Any:
    """Apply `change` to the values of a converted schedule, not to its steps."""
    if isinstance(value, Changed):
        return Changed(adjusted(value.value, change), value.why)
    if isinstance(value, Mapping):
        return {key: change(item) if key in ("from", "to") else item for key, item in value.items()}
    return change(value) if is_number(value) else value


def mapped(table: Mapping[Any, Any], what: str) -> How:
    """Return a conversion that looks the value up in a table."""

    def how(value: Any, read: Read) -> Any:
        known = isinstance(value, (str, bool, type(None))) and value in table
        return table[value] if known else Lost(f"{what} {value!r} does not exist here")

    return how


def only(*allowed: Any) -> How:
    """Return a conversion that sets nothing; values other than `allowed` are reported as lost."""
    return lambda value, read: (
        UNSET if value in allowed else Lost(f"here it is {allowed[0]!r} at all times, not {value!r}")
    )


def written_out(value: Any, read: Read) -> Any:
    """Convert a prompt; one from threestudio's prompt library is lost, an empty one is unset for image priors."""
    if not value:
        return UNSET if read("data.image_path") else Changed(REQUIRED, "there is none, but one is required here")
    return Lost("the prompt library is threestudio's; write the prompt out") if str(value).startswith("lib:") else value


def cfg_scale(value: Any, read: Read) -> Any:
    """Convert the guidance scale: `cond + s (cond - uncond)` there is `uncond + (s + 1) (cond - uncond)` here."""
    ours = schedule(value)
    if read(f"{PROMPTS}.use_perp_neg"):
        return ours  # with Perp-Neg, threestudio starts from uncond, too
    return adjusted(ours, lambda number: number + 1)


def model(value: Any, read: Read) -> Any:
    """Return a repository, which the translator replaces by its alias, or the alias of a single file's weights."""
    if (name := str(value).rpartition("/")[2]) in CHECKPOINTS:
        return CHECKPOINTS[name]
    if str(value).endswith(FILES):
        return Lost("weights are folders or repositories in diffusers' format here, not single files")
    return value or Lost("no weights are named")


def finest_resolution(value: Any, read: Read) -> int:
    """Compute the resolution of the finest level from the ratio between levels."""
    encoding = "system.geometry.pos_encoding_config"
    base, levels = read(f"{encoding}.base_resolution") or 16, read(f"{encoding}.n_levels") or 16
    finest: int = round(base * value ** (levels - 1))
    return finest


def levels_active(value: Any, read: Read) -> dict[str, int]:
    """Convert `start_level` until `start_step`, then one more level per `update_steps`: a linear schedule, floored."""
    encoding = "system.geometry.pos_encoding_config"
    levels, start, every = (read(f"{encoding}.{name}") for name in ("n_levels", "start_step", "update_steps"))
    start = start or 0
    return {"from": value, "to": levels, "start_step": start, "until_step": start + (levels - value) * (every or 1)}


def front_deg(value: Any, read: Read) -> Any:
    """Convert half the width of `front`, in degrees, to the whole width of `front` and `back`."""
    back = read(f"{PROMPTS}.back_threshold")
    if back != value:
        return Changed(2 * value, f"front and back are equally wide here; back_threshold {back!r} is not followed")
    return 2 * value


def surface_density(value: Any, read: Read) -> Any:
    """Return the density threshold of the surface, or "auto"."""
    return value if value == "auto" or (is_number(value) and value > 0) else "auto"


def or_unset(value: Any, read: Read) -> Any:
    """Return the value; None and 0 leave our default."""
    return value or UNSET


def shape_start(value: Any, read: Read) -> Any:
    """Convert `sphere`, `ellipsoid` or `mesh:FILE` to the kind of start shape."""
    kind = str(value).partition(":")[0]
    return UNSET if not value else kind if kind in ("sphere", "ellipsoid", "mesh") else Lost(f"no shape {value!r}")


def shape_file(value: Any, read: Read) -> Any:
    """Return the file of `mesh:FILE`."""
    kind, _, path = str(value).partition(":")
    return path if kind == "mesh" else UNSET


def shape_size(kind: str) -> How:
    """Return a conversion of `shape_init_params` for one kind of shape; for a mesh it is the largest coordinate."""

    def how(value: Any, read: Read) -> Any:
        if value is None or str(read("system.geometry.shape_init")).partition(":")[0] != kind:
            return UNSET
        return value / read("system.geometry.radius") if kind == "mesh" else value

    return how
