"""Values of threestudio in our terms: schedules, classifier-free guidance, grids, view thresholds, models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from bozzetto.config import REQUIRED
from bozzetto.convert.rules import UNSET, Changed, How, Lost, Read
from bozzetto.models import aliases

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
"""Single files of theirs whose weights an alias has as a folder."""


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def schedule(value: Any) -> Any:
    """Their `C()`: a number, `[from, to, end]`, `[start, from, to, end]`, or that with more `to, end` pairs.

    An end written as a float counts epochs, and a run of theirs is one endless epoch: the value never moves.
    """
    if is_number(value):
        return value
    if not isinstance(value, (list, tuple)) or len(value) not in (3, *range(4, 99, 2)):
        return Lost(f"{value!r} is neither a number nor a list of 3, 4 or more values as their schedules are")
    if not all(map(is_number, value)):
        return Lost(f"{value!r} holds something that is no number")
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
    """Their `C_max`: the largest value of a number or a schedule."""
    if is_number(value):
        return float(value)
    return float(max(_numbers(value)))


def is_zero(value: Any) -> bool:
    """Whether a number or a schedule is 0 at every step."""
    if is_number(value):
        return value == 0
    if not isinstance(value, (list, tuple)) or len(value) < 3:
        return False
    return all(number == 0 for number in _numbers(value))


def _numbers(schedule: Any) -> list[Any]:
    """The values of a schedule of theirs, without its steps."""
    return list(schedule[:2]) if len(schedule) == 3 else [schedule[1], *schedule[2::2]]


def adjusted(value: Any, change: Any) -> Any:
    """`change` applied to the numbers of a translated schedule, not to its steps."""
    if isinstance(value, Changed):
        return Changed(adjusted(value.value, change), value.why)
    if isinstance(value, Mapping):
        return {key: change(item) if key in ("from", "to") else item for key, item in value.items()}
    return change(value) if is_number(value) else value


def mapped(table: Mapping[Any, Any], what: str) -> How:
    """One word for another."""

    def how(value: Any, read: Read) -> Any:
        known = isinstance(value, (str, bool, type(None))) and value in table
        return table[value] if known else Lost(f"{what} {value!r} does not exist here")

    return how


def only(*allowed: Any) -> How:
    """Nothing to set; anything but these is lost."""
    return lambda value, read: (
        UNSET if value in allowed else Lost(f"here it is {allowed[0]!r} at all times, not {value!r}")
    )


def written_out(value: Any, read: Read) -> Any:
    """A prompt, unless it has to be looked up in a file of theirs, or is left out as prompts of image priors are."""
    if not value:
        return UNSET if read("data.image_path") else Changed(REQUIRED, "there is none, and here one is needed")
    return Lost("the prompt library is theirs; write the prompt out") if str(value).startswith("lib:") else value


def cfg_scale(value: Any, read: Read) -> Any:
    """Theirs is `cond + s (cond - uncond)`, ours `uncond + s (cond - uncond)`: one more gives the same prediction."""
    ours = schedule(value)
    if read(f"{PROMPTS}.use_perp_neg"):
        return ours  # that path of theirs starts from uncond
    return adjusted(ours, lambda number: number + 1)


def model(value: Any, read: Read) -> Any:
    """A repository as the alias that lists it, so that its mirrors are tried when it has been withdrawn."""
    for alias, entry in aliases().items():
        listed = [item.partition("@")[0] for key in ("repositories", "withdrawn") for item in entry.get(key, ())]
        if value in listed:
            return alias
    if (name := str(value).rpartition("/")[2]) in CHECKPOINTS:
        return CHECKPOINTS[name]
    if str(value).endswith(FILES):
        return Lost("weights are folders or repositories in diffusers' format here, not single files")
    return value or Lost("no weights are named")


def step_fraction(value: Any, read: Read) -> Any:
    """`min_step_percent` or `max_step_percent`, which `sqrt_anneal` (HiFA) makes one falling value."""
    if not read(f"{GUIDANCE}.sqrt_anneal"):
        return schedule(value)
    low, high = read(f"{GUIDANCE}.min_step_percent"), read(f"{GUIDANCE}.max_step_percent")
    if not is_number(low):
        return Lost("sqrt_anneal towards a value that itself changes")
    high = high if is_number(high) else high[1]
    return {"from": high, "to": low, "until_step": int(read(f"{GUIDANCE}.trainer_max_steps")), "curve": "sqrt"}


def finest_resolution(value: Any, read: Read) -> int:
    """Vertices of the last level from the ratio of one level to the next."""
    encoding = "system.geometry.pos_encoding_config"
    base, levels = read(f"{encoding}.base_resolution") or 16, read(f"{encoding}.n_levels") or 16
    finest: int = round(base * value ** (levels - 1))
    return finest


def levels_active(value: Any, read: Read) -> dict[str, int]:
    """`start_level` up to `start_step`, then one more every `update_steps`: a straight line, rounded down."""
    encoding = "system.geometry.pos_encoding_config"
    levels, start, every = (read(f"{encoding}.{name}") for name in ("n_levels", "start_step", "update_steps"))
    start = start or 0
    return {"from": value, "to": levels, "start_step": start, "until_step": start + (levels - value) * (every or 1)}


def front_deg(value: Any, read: Read) -> Any:
    """Half the width of `front` there, the whole width of `front` and of `back` here."""
    back = read(f"{PROMPTS}.back_threshold")
    if back != value:
        return Changed(2 * value, f"front and back are equally wide here; back_threshold {back!r} is not followed")
    return 2 * value


def surface_density(value: Any, read: Read) -> Any:
    """Where the surface is."""
    return value if value == "auto" or (is_number(value) and value > 0) else "auto"


def or_unset(value: Any, read: Read) -> Any:
    """None and 0 leave the choice to us."""
    return value or UNSET


def shape_start(value: Any, read: Read) -> Any:
    """`sphere`, `ellipsoid` or `mesh:FILE`."""
    kind = str(value).partition(":")[0]
    return UNSET if not value else kind if kind in ("sphere", "ellipsoid", "mesh") else Lost(f"no shape {value!r}")


def shape_file(value: Any, read: Read) -> Any:
    """The file of `mesh:FILE`."""
    kind, _, path = str(value).partition(":")
    return path if kind == "mesh" else UNSET


def shape_size(kind: str) -> How:
    """`shape_init_params`, which means something else for each shape; of a mesh the largest coordinate."""

    def how(value: Any, read: Read) -> Any:
        if value is None or str(read("system.geometry.shape_init")).partition(":")[0] != kind:
            return UNSET
        return value / read("system.geometry.radius") if kind == "mesh" else value

    return how
