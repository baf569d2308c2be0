"""Answers the requests of viewers (`bozzetto.live`) between steps: pause, resume, save, stop, change a field."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping

from bozzetto.engine.amending import Amender
from bozzetto.engine.broadcast import Broadcast
from bozzetto.engine.build import Report
from bozzetto.engine.changes import Change
from bozzetto.engine.checkpoints import Checkpoints
from bozzetto.engine.stopping import StopSignals
from bozzetto.engine.system import System
from bozzetto.errors import UserError
from bozzetto.live import Answer, Request

PAUSE_S = 0.1
"""Seconds between looks for requests while the training is paused."""


class Steering:
    """Observer that answers requests; it stands before the checkpoints, which save what it asks for.

    Args:
        checkpoints: of the stage.
        amender: applies changes; None: this training cannot change, since several processes would have to.
    """

    def __init__(
        self, broadcast: Broadcast, checkpoints: Checkpoints, amender: Amender | None, stop: StopSignals,
        report: Report,
    ) -> None:  # fmt: skip
        self.broadcast, self.checkpoints, self.amender = broadcast, checkpoints, amender
        self.stop, self.report = stop, report
        self.paused = False
        if amender is not None:
            broadcast.changes += [change.line for change in amender.acting]

    def after_step(self, done: int, system: System) -> None:
        """Repeat recorded changes of this step, and answer requests; returns once the training is not paused."""
        if self.amender is not None:
            for change in self.amender.repeat(done, system):
                self._tell(change)
        if done == self.checkpoints.stage.trainer.steps:
            return  # the stage is finished, and requests wait for the next one
        if not self.broadcast.looked:
            return
        self._answer_all(done, system)
        if not self.paused or self.stop.requested:
            return
        self.report(f"paused    after step {done}, by a viewer of the run; Ctrl-C saves and stops it")
        while self.paused and not self.stop.requested:
            self.broadcast.look()
            self.broadcast.publish(done, system, paused=True)
            time.sleep(PAUSE_S)
            self._answer_all(done, system)
        self.paused = False
        self.broadcast.pause()
        self.report("resumed")

    def close(self) -> None:
        """Do nothing: requests that are left wait for the next stage."""

    def _answer_all(self, done: int, system: System) -> None:
        for request in self.broadcast.live.take():
            try:
                answer = Answer(request.name, self._do(request, done, system))
            except UserError as error:
                text = " ".join(str(error).split()).removeprefix("command line: ")  # where a change is read as one from
                answer = Answer(request.name, text, refused=True)
            self.broadcast.answers.append(answer)
            self.broadcast.publish(done, system, paused=self.paused, now=True)

    def _do(self, request: Request, done: int, system: System) -> str:
        """Do what a request asks for, and return the answer."""
        if request.action == "change":
            return self._change(request, done, system)
        if request.action in ("pause", "resume"):
            if self.amender is None:
                raise UserError("a training in several processes cannot be paused; stop it, and resume it later")
            self.paused = request.action == "pause"
            return f"paused after step {done}" if self.paused else "resumed"
        if request.action == "stop":
            self.stop.requested = signal.SIGINT
            return f"stopped after step {done}, and saved"
        self.checkpoints.asked = True
        if self.paused:
            self.checkpoints.save(done, system)
        return f"saved after step {done}"

    def _change(self, request: Request, done: int, system: System) -> str:
        if self.amender is None:
            raise UserError(f"{request.key}: a training in several processes cannot change while it runs")
        several = isinstance(request.value, Mapping) and not request.key
        values = request.value if several else {request.key: request.value}
        changed = self.amender.change(values, done, system)
        return "; ".join([self._tell(change) for change in changed])

    def _tell(self, change: Change) -> str:
        line = change.line
        self.broadcast.changes.append(line)
        self.report(f"changed   {line}")
        return line
