"""Further processes of a data-parallel training: started, watched and ended by the first one. Imports Lightning Fabric.

A worker (`bozzetto.runs.worker`) reads one line of JSON, its `Job`, prepares the stage, writes `{}`, reads the port at
which the processes connect, and trains. If it fails, it writes what was raised and ends. It writes no files.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from bozzetto import errors
from bozzetto.engine.data_parallel import HOST, SeveralProcesses, connected
from bozzetto.engine.processes import ProcessLostError
from bozzetto.engine.shares import Share
from bozzetto.engine.stopping import Stopped, StopSignals

MODULE = "bozzetto.runs.worker"
GRACE_S = 20.0
"""Seconds that a worker which has broken its connection has to end and say why."""


@dataclass(frozen=True)
class Job:
    """Stage to train, in a form that JSON can hold."""

    run_folder: str
    stage: int
    """Index of the stage in the recipe of the run folder."""
    count: int
    """Number of processes."""
    device: str
    """`cpu`, or `cuda` for the GPU of each process's number."""
    threads: int
    """Threads of torch in each process."""
    weights: Mapping[str, str]
    """Local folder of each model, by the name used in the recipe."""
    cache: str | None
    """Folder of cached text embeddings."""
    rank: int = 0


class Worker:
    """One further process. Ctrl-C in a terminal does not reach it: the first process tells it to stop."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        threads = {"OMP_NUM_THREADS": str(job.threads)} if job.device == "cpu" else {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, env={**os.environ, **threads}, start_new_session=True,
        )  # fmt: skip
        self.tell(json.dumps(asdict(job)))

    def tell(self, line: str) -> None:
        """Write a line to the process; it may have ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def require_ready(self) -> None:
        """Wait until the process has prepared the stage; raises what it raised if it fails."""
        message = self._message()
        if message != {}:
            raise self._failure(message)

    def ended(self) -> bool:
        """Return whether the process has ended."""
        return self.process.poll() is not None

    def failure(self) -> BaseException:
        """Return what the ended process raised."""
        return self._failure(self._message())

    def end(self) -> None:
        """End the process, which has no files or results of its own."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None  # a pipe
            with contextlib.suppress(OSError):
                stream.close()
        self.errors.close()

    def _message(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def _failure(self, message: Any) -> BaseException:
        here = f"process {self.job.rank + 1} of {self.job.count}"
        if message is None:
            code, text = self.process.wait(), self._last_errors()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            return RuntimeError(f"{here} ended with {how}: {text}" if text else f"{here} ended with {how}")
        if message["kind"] == Stopped.__name__:
            return Stopped(message["number"])
        kind = getattr(errors, message["kind"], None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind(message["text"])
        return RuntimeError(f"{here} raised {message['kind']}: {message['text']}\n{message['traceback']}")

    def _last_errors(self) -> str:
        self.errors.seek(0)
        return " ".join(self.errors.read().decode(errors="replace").split())[-500:]


class Workers:
    """All further processes of a training."""

    def __init__(self, workers: list[Worker], job: Job) -> None:
        self.workers, self.job = workers, job

    @contextmanager
    def connected(self, stop: StopSignals) -> Iterator[SeveralProcesses]:
        """Wait until every process has prepared the stage, and connect this one with them within a context."""
        for worker in self.workers:
            worker.require_ready()
        port = _free_port()
        for worker in self.workers:
            worker.tell(str(port))
        with connected(Share(0, self.job.count), port, torch.device(self.job.device), stop) as processes:
            yield processes

    def failure(self) -> BaseException | None:
        """Wait for the worker that has broken its connection, and return what it raised; None if none ends."""
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until:
            for worker in self.workers:
                if worker.ended():
                    return worker.failure()
            time.sleep(0.05)
        return None


@contextmanager
def working(job: Job) -> Iterator[Workers]:
    """Start the further processes of a job, and end them with the context.

    Raises:
        BaseException: what a process has raised that ended during the training, of the same type if it is one of
            `bozzetto.errors` or `Stopped`, else a `RuntimeError`.
    """
    before, started = torch.get_num_threads(), Workers([], job)
    try:
        for rank in range(1, job.count):
            started.workers.append(Worker(replace(job, rank=rank)))
        torch.set_num_threads(job.threads)
        yield started
    except ProcessLostError as error:
        raise started.failure() or error from error
    finally:
        torch.set_num_threads(before)
        for worker in started.workers:
            worker.end()


def threads_of_each(device: torch.device, count: int) -> int:
    """Return the threads of torch in each of `count` processes: they share out the CPU if they train on it."""
    return max(1, torch.get_num_threads() // count) if device.type == "cpu" else torch.get_num_threads()


def _free_port() -> int:
    with socket.socket() as made:
        made.bind((HOST, 0))
        port: int = made.getsockname()[1]
        return port
