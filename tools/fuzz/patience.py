"""The time that a process has had: a busy or paused machine is no fault of a command."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST_LOOK_S = 1.0
"""Time between two looks counts for this long at most: for longer ones this process was itself without a processor."""
BUSY_SHARE = 0.01
"""A process that gets less of a processor than this share waits for something."""


class Patience:
    """Counts what one process has had of the processor, and how long it has waited.

    Args:
        seconds: the processor's time that it may use, and the time that it may wait at a stretch.
    """

    def __init__(self, pid: int, seconds: float, now: float) -> None:
        self.pid, self.seconds, self.looked = pid, seconds, now
        self.waited_s = 0.0
        self.used_then_s = 0.0
        """When it was last seen to work."""

    def is_over(self, now: float) -> bool:
        """Tell if it has had its time; to be called often."""
        self.waited_s += min(now - self.looked, LONGEST_LOOK_S)
        self.looked = now
        used_s = processor_time(self.pid)
        if used_s - self.used_then_s > BUSY_SHARE * self.seconds:
            self.waited_s, self.used_then_s = 0.0, used_s
        return used_s > self.seconds or self.waited_s > self.seconds


def processor_time(pid: int) -> float:
    """Seconds of processor time of a process and of those it has started and waited for; 0 once it has gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()  # the name, in parentheses, may hold anything
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
