"""The number of CPUs available to this process, and the defaults of OpenMP's threads."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

# The file that lists the control groups (cgroups) of this process, and the folder that holds them.
PROCESS_CGROUPS, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

# The number of checks before a waiting thread sleeps. A higher one is faster on an idle machine, slower on a busy one.
SPIN_COUNT = "1000"


def available_cpus() -> int:
    """Return the number of CPUs in the process's affinity, or the CPU quota of its control group if that is less.

    The quota is rounded up, so that the process can use all of it.
    """
    return min([_affinity(), *(max(1, math.ceil(quota)) for quota in _quotas())])


def set_thread_defaults() -> None:
    """Set OpenMP's environment variables: how threads wait, and how many there are under a CPU quota.

    Call this before NumPy or torch is imported, because their libraries read the variables only at import. By default,
    waiting OpenMP threads spin for milliseconds. On a busy machine that takes the CPU from the thread they wait for.
    This function makes libgomp's threads spin for microseconds and then sleep. Variables that are already set stay
    unchanged. Measurements: docs/in_use.md.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if (cpus := available_cpus()) < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(cpus))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Yield the CPU quotas, in CPUs, of the process's control groups and of their parents; none outside Linux."""
    try:
        lines = PROCESS_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 of control groups has one hierarchy, version 1 has one per controller.
        root = CGROUPS / "cpu" if controllers else CGROUPS
        # In a container, the process's own group is at the root, but the path is the one outside the container.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _quota(folder)
            if folder == root:
                break


def _quota(group: Path) -> Iterator[float]:
    """Yield the quota that is set on this group itself, if any. Supports versions 1 and 2 of control groups."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
        except (OSError, ValueError):
            continue
        # The values max (version 2) and -1 (version 1) mean no limit.
        if quota.isdigit():
            yield int(quota) / int(period)
