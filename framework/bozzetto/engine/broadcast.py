"""Publishes the training for viewers in other processes (`bozzetto.live`), within a small share of its time.

Nothing is computed, copied or written while nobody watches.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from bozzetto.engine.pictures import guidance_pictures, pixels_of, save_pixels
from bozzetto.engine.system import System
from bozzetto.files import slug
from bozzetto.live import Answer, Live, State, View
from bozzetto.parameters import PARTS

Now = Callable[[], float]
"""Clock, seconds."""

LOOK_S = 0.2
"""Seconds between looks for viewers and requests: less often than the steps of a fast training."""
STATE_S, SCENE_S, GUIDANCE_S = 0.5, 1.0, 5.0
"""Minimum seconds between publications of the state, the scene, and what the guidance sees."""
SCENE_SHARE, GUIDANCE_SHARE = 0.02, 0.05
"""Maximum share of the training's time that publishing the scene takes, and what the guidance sees."""
MOST_VIEWS = 16
"""Maximum number of training cameras that are published."""
RECENT = 0.9
"""Weight of the steps before in the running mean of a step's duration."""


class Paced:
    """Decides when something is due again: after `least_s`, and so rarely that it takes at most `share` of the time."""

    def __init__(self, least_s: float, share: float = 1.0, now: Now = time.monotonic) -> None:
        self.least_s, self.share, self.now = least_s, share, now
        self.next = -float("inf")

    def due(self) -> bool:
        """Return whether it is time."""
        return self.now() >= self.next

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Measure what is done within the context, and set the next time."""
        begun = self.now()
        try:
            yield
        finally:
            ended = self.now()
            self.next = ended + max(self.least_s, (ended - begun) / self.share)


class Broadcast:
    """Writes state, scene and guidance pictures into the folder `live` of the run while a viewer watches.

    Args:
        steps: steps of the stage.
    """

    def __init__(self, live: Live, stage: str, steps: int, now: Now = time.monotonic) -> None:
        self.live, self.stage, self.steps, self.now = live, stage, steps, now
        self.answers: list[Answer] = []
        """Answers to requests, oldest first; the state shows the latest."""
        self.changes: list[str] = []
        """Changes that have acted so far."""
        self.looked = False
        """Whether it was time to look for viewers, and for requests, after this step."""
        self._looking = Paced(LOOK_S, now=now)
        self._of_state, self._of_scene = Paced(STATE_S, now=now), Paced(SCENE_S, SCENE_SHARE, now)
        self._of_guidance = Paced(GUIDANCE_S, GUIDANCE_SHARE, now)
        self._wanted: bool | None = None
        """Whether the viewers want to see what the guidance sees; None: nobody watches."""
        self._scene_step = -1
        self._step_s, self._last = 0.0, (-1, 0.0)
        self._views: tuple[View, ...] = ()
        self._pictures: tuple[str, ...] = ()
        self._done = 0

    def after_step(self, done: int, system: System) -> None:
        """Look for viewers now and then, and publish what is due."""
        self._clock(done)
        self.look()
        if self._wanted and self._of_guidance.due() and system.results:
            with self._of_guidance.taken(), suppress(OSError):
                self._publish_guidance(system)
        self.publish(done, system)

    def look(self) -> None:
        """Look for viewers if it is time."""
        self.looked = self._looking.due()
        if self.looked:
            with self._looking.taken():
                watched = self.live.watched()
                self._wanted = None if watched is None else watched.get("guidance") is True

    def publish(self, done: int, system: System, paused: bool = False, now: bool = False) -> None:
        """Publish scene and state if somebody watches and they are due; a disk that is full ends no training here.

        Args:
            now: the state is due, since it has changed.
        """
        self._done = done
        if self._wanted is None:
            return
        if self._scene_step != done and self._of_scene.due():
            with self._of_scene.taken(), suppress(OSError):
                self._publish_scene(done, system)
            now = True
        if now or self._of_state.due():
            with self._of_state.taken(), suppress(OSError):
                self._views = _views(system)
                self.live.publish(self._state(paused))

    def pause(self) -> None:
        """Forget the time of the last step, so that a pause is not counted as a slow step."""
        self._last = (-1, 0.0)

    def close(self) -> None:
        """Tell the viewers that the stage is no longer trained."""
        if self.live.folder.is_dir() and self._done:
            with suppress(OSError):
                self.live.publish(self._state(False, ended=True))

    def _clock(self, done: int) -> None:
        before, at = self._last
        self._last = (done, self.now())
        if before == done - 1:
            taken = self._last[1] - at
            self._step_s = taken if not self._step_s else RECENT * self._step_s + (1.0 - RECENT) * taken

    def _state(self, paused: bool, ended: bool = False) -> State:
        return State(
            process=os.getpid(),
            stage=self.stage,
            step=self._done,
            steps=self.steps,
            steps_per_s=0.0 if paused or not self._step_s else 1.0 / self._step_s,
            paused=paused,
            ended=ended,
            scene_step=self._scene_step,
            views=self._views,
            pictures=self._pictures,
            answers=tuple(self.answers[-20:]),
            changes=tuple(self.changes[-20:]),
            written_s=time.time(),
        )

    def _publish_scene(self, done: int, system: System) -> None:
        prefixes = tuple(f"{part}." for part in PARTS)
        state = {name: value for name, value in system.state_dict().items() if name.startswith(prefixes)}
        content = io.BytesIO()
        torch.save({"stage": self.stage, "step": done, "state_dict": state}, content)
        self.live.write(self.live.scene.name, content.getvalue())
        self._scene_step = done

    def _publish_guidance(self, system: System) -> None:
        names = []
        for task, name, image in guidance_pictures(system):
            names.append(f"guidance-{slug(task)}-{slug(name)}.png")
            save_pixels(self.live.folder / names[-1], pixels_of(image))
        self._pictures = tuple(names)


def _views(system: System) -> tuple[View, ...]:
    found = []
    for cameras in system.cameras.values():
        for c2w, fov_y_rad in zip(cameras.c2w.tolist(), cameras.fov_y_rad.tolist(), strict=True):
            found.append(View(tuple(map(tuple, c2w)), fov_y_rad, cameras.width / cameras.height))
    return tuple(found[:MOST_VIEWS])
