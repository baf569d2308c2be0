"""Parts of a run that act after each step of a stage, in the order in which they act."""

from __future__ import annotations

from bozzetto.engine.amending import Amender
from bozzetto.engine.broadcast import Broadcast
from bozzetto.engine.build import Report
from bozzetto.engine.checkpoints import Checkpoints
from bozzetto.engine.loggers import loggers_of
from bozzetto.engine.loop import Loop, StepObserver
from bozzetto.engine.metrics import Metrics
from bozzetto.engine.observers import Observed, Observers
from bozzetto.engine.pictures import Pictures
from bozzetto.engine.progress import Progress
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.steering import Steering
from bozzetto.engine.stopping import StopSignals
from bozzetto.live import Live
from bozzetto.recipe import Recipe, Stage


def stage_observers(
    loop: Loop, stage: Stage, recipe: Recipe, folder: RunFolder, observers: Observers, stop: StopSignals,
    amender: Amender | None, report: Report,
) -> list[StepObserver]:  # fmt: skip
    """Return what acts after each step of `loop`; the last one may end the run.

    Args:
        amender: changes fields of the recipe on a viewer's request; None: they cannot change in this training.
    """
    trainer, done = stage.trainer, loop.done
    logger = loggers_of(stage, recipe, folder, done)
    broadcast = Broadcast(Live(folder.path), stage.name, trainer.steps)
    checkpoints = Checkpoints(folder.checkpoint(stage.name), stage, loop.optimizers, stop)
    return [
        broadcast,  # before the pictures, which drop what the guidance has kept
        Metrics(folder.metrics / f"{stage.name}.csv", trainer, logger, done),
        Pictures(folder.images, stage.name, trainer, logger),
        Observed(observers, trainer),
        Progress(stage.name, trainer.steps, done, trainer.log_every),
        Steering(broadcast, checkpoints, amender, stop, report),
        checkpoints,
    ]
