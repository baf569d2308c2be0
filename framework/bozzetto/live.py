"""Watches and steers a run from another process, through files in its run folder. Imports no torch.

The folder `live` of a run holds the whole exchange; who may write to the run folder may steer the run:

watching.json     written by a viewer, again and again while it watches; the training publishes nothing without
requests/         one file per request of a viewer, in the order of their names; the training removes what it has read
state.json        where the training is, what it trains from, and its answers, written by the training
scene.pt          parameters of the scene between two steps, written by the training
guidance-*.png    what the guidance saw in the latest step, if a viewer wants it
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

__all__ = ["ACTIONS", "Action", "Answer", "Live", "Request", "State", "View"]

Action = Literal["pause", "resume", "save", "stop", "change"]
ACTIONS: tuple[Action, ...] = ("pause", "resume", "save", "stop", "change")
"""What a request can ask for: `stop` saves, too; `change` sets a field of the recipe."""

WATCHED_S = 10.0
"""Seconds that one sign of a viewer lasts."""
MOST_REQUESTS = 100
"""Requests that may wait; a further one is refused."""
MOST_LETTERS = 20_000
"""Maximum size of a request, bytes."""


@dataclass(frozen=True)
class Request:
    """Request of a viewer."""

    action: Action
    key: str = ""
    """Dotted key of the recipe that is changed, e.g. `system.optimizer.lr`; empty: several, see `value`."""
    value: Any = None
    """New plain value of a change, as in a recipe; without a key: values by dotted key, of which all act or none."""
    name: str = ""
    """Name by which its answer is found; set when it is sent."""


@dataclass(frozen=True)
class Answer:
    """What became of a request."""

    name: str
    """Name of the request."""
    text: str
    """One line."""
    refused: bool = False


@dataclass(frozen=True)
class View:
    """Camera of a view in the latest step."""

    c2w: tuple[tuple[float, ...], ...]
    """Rows of the camera-to-world matrix of an OpenGL camera."""
    fov_y_rad: float
    """Vertical field of view, radians."""
    aspect: float
    """Width by height."""


@dataclass(frozen=True)
class State:
    """Where a training is."""

    process: int
    """Process that trains."""
    stage: str
    step: int
    """Finished steps of the stage."""
    steps: int
    """Steps of the stage."""
    steps_per_s: float = 0.0
    """Steps per second lately; 0: not known yet, or paused."""
    paused: bool = False
    ended: bool = False
    """True once the training has ended, in whatever way."""
    scene_step: int = -1
    """Finished steps that `scene.pt` holds; -1: there is none of this stage."""
    views: tuple[View, ...] = ()
    """Training cameras of the latest step."""
    pictures: tuple[str, ...] = ()
    """Names of the files with what the guidance saw."""
    answers: tuple[Answer, ...] = ()
    """Answers to the latest requests, oldest first."""
    changes: tuple[str, ...] = field(default_factory=tuple)
    """Changes that have acted so far, one line each."""
    written_s: float = 0.0
    """Time of this state, seconds since the epoch."""

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end of the stage; None: not known."""
        return (self.steps - self.step) / self.steps_per_s if self.steps_per_s > 0 else None


@dataclass(frozen=True)
class Live:
    """The exchange of one run, for both sides."""

    run_folder: Path

    @property
    def folder(self) -> Path:
        """Folder of the exchange."""
        return self.run_folder / "live"

    @property
    def scene(self) -> Path:
        """Parameters of the scene: read it with `torch.load(..., weights_only=True)`; it is whole at any time."""
        return self.folder / "scene.pt"

    @property
    def _requests(self) -> Path:
        return self.folder / "requests"

    def watch(self, guidance: bool = False) -> None:
        """Give a sign of a viewer, which lasts `WATCHED_S`.

        Args:
            guidance: also publish what the guidance sees, which costs the training predictions.

        Raises:
            OSError: the run folder does not exist any more, or cannot be written.
        """
        self._make()
        self.write("watching.json", json.dumps({"guidance": guidance}).encode())

    def send(self, request: Request) -> str:
        """Leave a request for the training and return its name.

        Raises:
            ValueError: there is no such action, it is too long, or too many are waiting.
            OSError: the run folder cannot be written.
        """
        if request.action not in ACTIONS:
            raise ValueError(f"action: must be one of {', '.join(ACTIONS)}, got {request.action!r}")
        text = json.dumps({"action": request.action, "key": request.key, "value": request.value}).encode()
        if len(text) > MOST_LETTERS:
            raise ValueError(f"value: must be at most {MOST_LETTERS} bytes, got {len(text)}")
        self._make()
        if len(os.listdir(self._requests)) >= MOST_REQUESTS:  # noqa: PTH208 - a count, no paths
            raise ValueError(f"{MOST_REQUESTS} requests are waiting already; does the run still train?")
        name = f"{time.time_ns():020d}-{secrets.token_hex(3)}"
        self.write(f"requests/{name}.json", text)
        return name

    def state(self) -> State | None:
        """Return where the training is; None: it has published nothing, or the file is damaged."""
        try:
            found = json.loads((self.folder / "state.json").read_bytes())
            found["views"] = tuple(
                View(tuple(map(tuple, view["c2w"])), view["fov_y_rad"], view["aspect"]) for view in found["views"]
            )
            found["answers"] = tuple(Answer(**answer) for answer in found["answers"])
            found["pictures"], found["changes"] = tuple(found["pictures"]), tuple(found["changes"])
            return State(**{item.name: found[item.name] for item in fields(State)})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def watched(self) -> Mapping[str, Any] | None:
        """Return what the viewers that watch now want; None: nobody watches. For the training."""
        path = self.folder / "watching.json"
        try:
            if not -WATCHED_S < time.time() - path.stat().st_mtime < WATCHED_S:
                return None
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else {}

    def take(self) -> list[Request]:
        """Remove and return the requests, in the order in which they were sent. For the training.

        Damaged files are removed, too.
        """
        try:
            names = sorted(os.listdir(self._requests))  # noqa: PTH208 - the cheapest call: it is made between steps
        except OSError:
            return []
        taken = []
        for name in names:
            path = self._requests / name
            if not name.endswith(".json") or name.startswith("."):
                continue
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
                content = path.read_bytes()[: MOST_LETTERS + 1]
                path.unlink()  # first: what cannot be removed would be answered again and again
                found = json.loads(content)
                if found.get("action") in ACTIONS and isinstance(found.get("key"), str):
                    taken.append(Request(found["action"], found["key"], found.get("value"), path.stem))
        return taken

    def publish(self, state: State) -> None:
        """Write where the training is. For the training."""
        self.write("state.json", json.dumps(asdict(state)).encode())

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the exchange so that it is whole or as it was.

        It is not synced to the disk, since nothing in it outlives the processes.
        """
        path = self.folder / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _make(self) -> None:
        """Create the folders, but not the run folder: a deleted run stays deleted."""
        self.folder.mkdir(exist_ok=True)
        self._requests.mkdir(exist_ok=True)
