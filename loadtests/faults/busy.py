"""How busy the machine is with other work: what milliseconds are worth that were measured beside it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Busy:
    """CPU seconds so far, of the machine, and of this process and those it has started and seen end."""

    at_s: float
    machine_s: float
    ours_s: float

    @classmethod
    def now(cls) -> Self:
        """proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, in ticks."""
        user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
        ours = os.times()
        ours_s = ours.user + ours.system + ours.children_user + ours.children_system
        return cls(time.monotonic(), (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK"), ours_s)

    def others_since(self, before: Self) -> float:
        """How many cores others kept busy, on the average."""
        return max(0.0, (self.machine_s - before.machine_s) - (self.ours_s - before.ours_s)) / max(1e-3, self.at_s - before.at_s)
