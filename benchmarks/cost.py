"""Run a command and measure its seconds and the memory of all its processes that the kernel cannot drop."""

import os
import pty
import re
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

LIMIT_MB = 3 * 1024
SAMPLING_SECONDS = 0.1

Cost = dict[str, Any]


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[Cost, str]:
    """Run a command in a memory cgroup of `LIMIT_MB`, if one can be made; return its cost and its output.

    The output goes to a terminal, as a stage shows its progress several times a second only there. Raise
    CalledProcessError with the output if the command fails.
    """
    terminal, end = pty.openpty()
    printed: list[str] = []
    phases: dict[str, float] = defaultdict(float)
    listener = Thread(target=_listen, args=(terminal, printed, phases), daemon=True)
    before, started, peak = _cpu_seconds(), time.monotonic(), 0.0
    with _memory_group() as group:
        # In a session of its own, which opens the terminal: if this process is killed, the kernel sends SIGHUP to it.
        join = f'exec <"{os.ttyname(end)}"' + (f' && echo $$ > "{group}/cgroup.procs"' if group else "")
        shell = ["sh", "-c", f'{join} && exec "$@"', "sh", *command]
        process = subprocess.Popen(shell, cwd=folder, env=environment, stdout=end, stderr=end, start_new_session=True)
        os.close(end)
        listener.start()
        while process.poll() is None:
            peak = max(peak, sum(map(_undroppable_mb, _members(process, group))))
            time.sleep(SAMPLING_SECONDS)
        seconds = time.monotonic() - started
        listener.join()
    text = re.sub(r"\x1b\[[\d;]*m", "", "".join(printed).replace("\r\x1b[K", "\n"))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    cost = {"seconds": round(seconds, 1), "cpu_seconds": round(_cpu_seconds() - before, 1)}
    seconds_by_phase = {phase: round(seconds, 1) for phase, seconds in phases.items()}
    return cost | {
        "phases": seconds_by_phase,
        "anonymous_mb": round(peak),
        "memory_cgroup_mb": LIMIT_MB if group else None,
    }, text


def _listen(terminal: int, printed: list[str], phases: dict[str, float]) -> None:
    """Collect the output, and the seconds during which each progress bar was the last one shown."""
    shown, last = "", 0.0
    # Reading fails once no process has the terminal open.
    with suppress(OSError), os.fdopen(terminal, encoding="utf-8", errors="replace", newline="") as lines:
        for line in lines:
            printed.append(line.replace("\r\n", "\n"))
            sys.stderr.write(line)
            if bar := re.match(r"\x1b\[K(.+?): \d+%, ", line):
                now = time.monotonic()
                phases[bar[1]] += now - last if bar[1] == shown else 0
                shown, last = bar[1], now


def _cpu_seconds() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _members(process: "subprocess.Popen[bytes]", group: Path | None) -> Iterable[int]:
    if group:
        return map(int, (group / "cgroup.procs").read_text(encoding="ascii").split())
    try:
        return [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    except psutil.Error:
        return []


def _undroppable_mb(process: int) -> float:
    """Return anonymous and shared memory; the kernel can drop the pages of mapped files."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return sum(map(int, re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", status))) * 1024 / 1e6


@contextmanager
def _memory_group() -> Iterator[Path | None]:
    """Make a cgroup of version 1 or 2, below or beside that of this process; yield None if that is not permitted."""
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines())
    root, name = Path("/sys/fs/cgroup"), f"titles-{os.getpid()}"
    if "memory" in own:
        group, limit = root / "memory" / own["memory"].strip("/") / name, "memory.limit_in_bytes"
    else:
        # In version 2 a group that has processes cannot have child groups with limits.
        group, limit = (root / own[""].strip("/")).parent / name, "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(LIMIT_MB << 20), encoding="ascii")
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        with suppress(OSError):
            group.rmdir()
