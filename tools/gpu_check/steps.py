"""Seconds and peak memory of the steps of a loop, which is freed before the next one is made."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import torch

from bozzetto.engine.loop import Loop
from bozzetto.errors import NonFiniteError
from bozzetto.recipe import Stage
from gpu_check.kernels import finish


def alone(named: dict[str, Any], work: Callable[[], dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """Return a row with what `work` measured, or its error; then free what it held."""
    try:
        row = named | work()
    except Exception as error:  # each check stands alone
        row = named | {"error": f"{type(error).__name__}: {error}"[:300]}
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return row


def measured(stage: Stage, loop: Loop, steps: int, device: torch.device) -> dict[str, Any]:
    """Train two steps that are not measured, then `steps` at the last resolution of a stage.

    Random weights may give numbers that are not finite in half precision. On a GPU that is known once the numbers are
    read, and the row says so: times and memory hold.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    loop.step()  # also finds the occupied cells
    loop.done = first = max(loop.done, last_milestone(stage))
    loop.step()
    finish(device)
    start = time.perf_counter()
    loop.run(loop.done + steps, [])
    finish(device)
    seconds = (time.perf_counter() - start) / steps
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    try:
        finite = loop.system.metrics["gradient_norm"] >= 0.0
    except NonFiniteError:
        finite = False
    return {"at_step": first, "s_per_step": seconds, "peak_bytes": peak, "finite": finite}


def last_milestone(stage: Stage) -> int:
    """Return the step from which on the views of all tasks have their last resolution."""
    configs = [task.views.config for task in stage.tasks]
    return max((step for config in configs for step in getattr(config, "resolution_milestones", ())), default=0)
