"""Time limit of a process that does not count time during which the machine is busy or paused."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST_LOOK_S = 1.0
"""Maximum time counted between two polls; in a longer gap this process itself was not running."""
BUSY_SHARE = 0.01
"""Share of a processor below which a process counts as waiting."""


class Patience:
    """Counter of a process's processor time and of its waiting time.

    Args:
        seconds: limit of the processor time, and of the waiting time at a stretch.
    """

    def __init__(self, pid: int, seconds: float, now: float) -> None:
        self.pid, self.seconds, self.looked = pid, seconds, now
        self.waited_s = 0.0
        self.used_then_s = 0.0
        """Processor time when the process was last seen working, seconds."""

    def is_over(self, now: float) -> bool:
        """Return whether the limit is exceeded; must be called often."""
        self.waited_s += min(now - self.looked, LONGEST_LOOK_S)
        self.looked = now
        used_s = processor_time(self.pid)
        if used_s - self.used_then_s > BUSY_SHARE * self.seconds:
            self.waited_s, self.used_then_s = 0.0, used_s
        return used_s > self.seconds or self.waited_s > self.seconds


def processor_time(pid: int) -> float:
    """Return processor seconds of a process and of its awaited children; 0 once it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()  # the name, in parentheses, may contain anything
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
