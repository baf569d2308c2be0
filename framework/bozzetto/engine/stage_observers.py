"""Parts of a run that act after each step of a stage, in the order in which they act."""

from __future__ import annotations

from bozzetto.engine.checkpoints import Checkpoints
from bozzetto.engine.loggers import loggers_of
from bozzetto.engine.loop import Loop, StepObserver
from bozzetto.engine.metrics import Metrics
from bozzetto.engine.observers import Observed, Observers
from bozzetto.engine.pictures import Pictures
from bozzetto.engine.progress import Progress
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.stopping import StopSignals
from bozzetto.recipe import Recipe, Stage


def stage_observers(
    loop: Loop, stage: Stage, recipe: Recipe, folder: RunFolder, observers: Observers, stop: StopSignals
) -> list[StepObserver]:
    """Return what acts after each step of `loop`; the last one may end the run."""
    trainer, done = stage.trainer, loop.done
    logger = loggers_of(stage, recipe, folder, done)
    return [
        Metrics(folder.metrics / f"{stage.name}.csv", trainer, logger, done),
        Pictures(folder.images, stage.name, trainer, logger),
        Observed(observers, trainer),
        Progress(stage.name, trainer.steps, done, trainer.log_every),
        Checkpoints(folder.checkpoint(stage.name), stage, loop.optimizers, stop),
    ]
