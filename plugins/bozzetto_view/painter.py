"""Draws pictures for all browsers in one thread: coarse while a camera moves, fine once it is still. No viser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from bozzetto_view.pictures import Picture, Pose

Now = Callable[[], float]
"""Clock, seconds."""
Draw = Callable[[Pose, int], Picture | None]
"""Renders a picture of a height in pixels; None: there is nothing to show."""
Send = Callable[[Picture], object]
"""Hands a picture over; must not wait for the browser."""

STILL_S = 0.25
"""Seconds after the last movement of a camera at which it is still."""


class Budget:
    """Limits work to a share of the time, so that a training beside it is not slowed by more.

    Args:
        share: seconds of work per second, while `limited`.
    """

    def __init__(self, share: float, now: Now = time.monotonic) -> None:
        self.share, self.now = share, now
        self.limited = False
        """Whether a training runs beside."""
        self._free_at = 0.0

    def spend(self, seconds: float) -> None:
        """Count work that has just been done."""
        if self.limited:
            self._free_at = max(self._free_at, self.now() - seconds) + seconds / self.share

    def wait_s(self) -> float:
        """Return the seconds until more work may be done."""
        return max(0.0, self._free_at - self.now()) if self.limited else 0.0


@dataclass
class Browser:
    """Camera of a browser, and what it was sent last."""

    send: Send
    pose: Pose | None = None
    moved_at: float = 0.0
    sent: Hashable = None
    """What the last picture showed: pose, version of the content, height."""
    sent_at: float = 0.0


class Painter:
    """Draws what the browsers need, the one that has waited longest first; of the poses of a camera only the latest.

    Args:
        coarse: height of pictures of moving cameras, pixels.
        fine: height of pictures of still cameras, pixels.
        cost: clock of the work: seconds of this thread's processor, or of the accelerator.
    """

    def __init__(
        self, draw: Draw, budget: Budget, coarse: int, fine: int, now: Now = time.monotonic,
        cost: Now = time.thread_time,
    ) -> None:  # fmt: skip
        self.draw, self.budget, self.coarse, self.fine, self.now, self.cost = draw, budget, coarse, fine, now, cost
        self.content: Hashable = None
        """Version of what is shown; with another one every picture is drawn anew."""
        self.browsers: dict[int, Browser] = {}
        self.drawn = 0
        """Number of pictures so far."""
        self._changed = threading.Condition()
        self._closing = False

    def add(self, key: int, send: Send) -> None:
        """Draw for a browser from now on; again with the same key after a reconnect."""
        with self._changed:
            self.browsers[key] = Browser(send)

    def remove(self, key: int) -> None:
        """Forget a browser."""
        with self._changed:
            self.browsers.pop(key, None)

    def move(self, key: int, pose: Pose) -> None:
        """Take the latest camera of a browser."""
        with self._changed:
            if (browser := self.browsers.get(key)) is not None and browser.pose != pose:
                browser.pose, browser.moved_at = pose, self.now()
                self._changed.notify()

    def show(self, content: Hashable) -> None:
        """Take the version of what is shown."""
        with self._changed:
            if content != self.content:
                self.content = content
                self._changed.notify()

    def close(self) -> None:
        """End `run`."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def run(self) -> None:
        """Draw until closed."""
        while True:
            with self._changed:
                if self._closing:
                    return
                wait = self.budget.wait_s()
                job = self._next() if wait == 0.0 else None
                if job is None:
                    self._changed.wait(wait or (STILL_S / 2 if self.browsers else None))
                    continue
            self._paint(*job)

    def _next(self) -> tuple[Browser, Pose, int, Hashable] | None:
        jobs = []
        for browser in self.browsers.values():
            if browser.pose is None:
                continue
            height = self.fine if self.now() - browser.moved_at >= STILL_S else self.coarse
            wanted = (browser.pose, self.content, height)
            if browser.sent not in (wanted, (browser.pose, self.content, self.fine)):
                jobs.append((browser.sent_at, browser, browser.pose, height, wanted))
        if not jobs:
            return None
        _, browser, pose, height, wanted = min(jobs, key=lambda job: job[0])
        return browser, pose, height, wanted

    def _paint(self, browser: Browser, pose: Pose, height: int, wanted: Hashable) -> None:
        begun = self.cost()
        picture = self.draw(pose, height)
        browser.sent, browser.sent_at = wanted, self.now()
        if picture is not None:
            browser.send(picture)
            self.drawn += 1
        self.budget.spend(self.cost() - begun)
