"""Further process of a data-parallel training, `python -m bozzetto.runs.worker`; see `bozzetto.engine.workers`."""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bozzetto.config.loading import load_recipe
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.stopping import Stopped, StopSignals
from bozzetto.machine import accelerators as hardware
from bozzetto.machine.tuning import tune_allocator
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.registry.sources import import_limit_s
from bozzetto.runs.start import import_heavy

if TYPE_CHECKING:
    from bozzetto.engine.system import System


def main() -> int:
    """Train one stage as told on standard input. Returns 0, or 1 after an error, which is told on standard output."""
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)  # whatever a library prints is no message
        with StopSignals() as stop:
            try:
                _train(json.loads(sys.stdin.readline()), channel, stop)
            except BaseException as error:
                _tell(channel, _told(error))
                return 1
        return 0


def _train(values: dict[str, Any], channel: IO[str], stop: StopSignals) -> None:
    import_heavy(stop)
    import torch

    from bozzetto.engine.data_parallel import connected
    from bozzetto.engine.pipeline import Pipeline
    from bozzetto.engine.shares import Share
    from bozzetto.engine.workers import Job

    job = Job(**values)
    tune_allocator()
    torch.set_num_threads(job.threads)
    device = torch.device(job.device if job.device == "cpu" else f"{job.device}:{job.rank}")
    hardware.select(str(device))
    registry = Registry.discover(installed_sources(os.environ), limit_s=import_limit_s(os.environ))
    folder = RunFolder.existing(Path(job.run_folder))
    recipe = load_recipe(folder.recipe_file, registry, (), folder.profile, hardware.detect())
    torch.manual_seed(recipe.seed)
    weights = {name: Path(path) for name, path in job.weights.items()}
    cache = Path(job.cache) if job.cache else None
    pipeline = Pipeline(registry, folder, weights, cache, device, lambda line: None, stop)
    loop = pipeline.begun(recipe, job.stage)
    _tell(channel, {})
    port = sys.stdin.readline()
    if not port:
        return  # the first process has ended
    with stop.deferred(), connected(Share(job.rank, job.count), int(port), device, stop) as processes:
        loop.join(processes)
        loop.run(recipe.stages[job.stage].trainer.steps, [_LeavesWhenStopped(stop)])


@dataclass(frozen=True)
class _LeavesWhenStopped:
    """Ends the training of this process after the step in which a stop was requested in any process."""

    stop: StopSignals

    def after_step(self, done: int, system: System) -> None:
        self.stop.answer()

    def close(self) -> None:
        """Do nothing."""


def _told(error: BaseException) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "text": str(error),
        "number": error.number if isinstance(error, Stopped) else 0,
        "traceback": "".join(traceback.format_exception(error)),
    }


def _tell(channel: IO[str], message: dict[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads of the exchanges need not end first
