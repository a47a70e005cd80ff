"""The CPUs this process may use, and how its threads wait for one another."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

# Which control groups the process is in, and where these are.
PROCESS_CGROUPS, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

# How often a waiting thread looks before it sleeps. More is faster on a quiet machine and slower on a busy one.
SPIN_COUNT = "1000"


def available_cpus() -> int:
    """The number of CPUs in the process's affinity, or the CPU quota of its control group where that is less.

    A quota is rounded up, so that all of it can be used.
    """
    return min([_affinity(), *(max(1, math.ceil(quota)) for quota in _quotas())])


def set_thread_defaults() -> None:
    """Set how OpenMP's threads wait, and how many there are under a CPU quota, in this process's environment.

    To be called by a command before it loads NumPy or torch, whose libraries read these variables only then. Waiting
    OpenMP threads spin by default for milliseconds, which takes the CPU from the thread they wait for as soon as
    another process is busy. libgomp's threads spin for microseconds here and then sleep: docs/in_use.md has the
    measurements. Values that the user has set stay.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if (cpus := available_cpus()) < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(cpus))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """The CPU quotas, in CPUs, of the process's control groups and of those above them; none outside Linux."""
    try:
        lines = PROCESS_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 has one hierarchy, version 1 one for each controller.
        root = CGROUPS / "cpu" if controllers else CGROUPS
        # A container sees its own group at the root, whatever its path is outside.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _quota(folder)
            if folder == root:
                break


def _quota(group: Path) -> Iterator[float]:
    """The quota that this very group has, of version 2 or 1, if it has one."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
        except (OSError, ValueError):
            continue
        # "max" or -1 is no limit.
        if quota.isdigit():
            yield int(quota) / int(period)
