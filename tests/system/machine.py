"""What else the machine does: a stream that is late because others had the processors isn't late by itself."""

import os
import pathlib
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _cpu(pid):
    """Seconds of CPU that a process has used."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


class Machine:
    """The processors, less what `pids` and this process use."""

    def __init__(self, *pids):
        self.pids = [os.getpid(), *pids]
        self.last = self.read()

    def read(self):
        fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        user, nice, system, idle, waiting, irq, softirq, stolen = (n / TICKS for n in fields)
        busy = user + nice + system + irq + softirq
        return time.monotonic(), busy + stolen - sum(_cpu(pid) for pid in self.pids)

    def others(self):
        """Cores that others, the machine's other guests among them, had on the mean since this was last asked."""
        before, self.last = self.last, self.read()
        return max(0.0, (self.last[1] - before[1]) / (self.last[0] - before[0]))
