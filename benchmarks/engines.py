"""Cost of prepare and reduce on DuckDB and Spark: `python -m benchmarks.engines FOLDER FOLDER`, after `make spark`.

Each FOLDER is a data folder of the pipeline; `make catalogue` writes one. Two folders of different size also give the
cost of each further million rows. Spark runs on this machine with its own configuration.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq
import yaml

from benchmarks.contenders import PARAMS
from benchmarks.report import log_progress, markdown
from titles.core.cpus import available_cpus

ENGINES = ("duckdb", "spark")
MILLION = 1_000_000
COSTS = ["seconds", "cpu_seconds", "peak_mb", "disk_mb"]


def run_and_measure(command: list[str], work: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run a command in `work`; return the `COSTS` of all its processes and the peak disk usage of `work`."""
    process, started = psutil.Popen(command, cwd=work, env=os.environ | environment), time.monotonic()
    cpu_seconds: dict[int, float] = {}
    peak_mb = disk_mb = 0.0
    while process.poll() is None:
        used = 0
        with suppress(psutil.Error):
            for member in (process, *process.children(recursive=True)):
                times = member.cpu_times()
                cpu_seconds[member.pid] = times.user + times.system
                used += member.memory_info().rss
        peak_mb, disk_mb = max(peak_mb, used / 1e6), max(disk_mb, _megabytes(work))
        time.sleep(0.2)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.monotonic() - started
    return dict(zip(COSTS, (seconds, sum(cpu_seconds.values()), peak_mb, disk_mb), strict=True))


def _megabytes(folder: Path) -> float:
    total = 0
    # Files may be removed during the walk.
    with suppress(FileNotFoundError):
        for path in folder.rglob("*"):
            total += path.stat().st_size
    return total / 1e6


def measure(folder: Path, engine: str) -> list[dict[str, Any]]:
    """Return a row per stage."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        environment = {"TITLES_ENGINE": engine, "TITLES_TRACKING": "off", "SPARK_LOCAL_DIRS": str(work / "spark")}
        environment["PYTHONPATH"] = str(Path.cwd())
        params = yaml.safe_load(PARAMS.read_text(encoding="utf-8")) | {"data": {"raw": str(folder.resolve())}}
        (work / PARAMS).write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
        costs = {}
        for stage, paths in (("prepare", ["prepared"]), ("reduce", ["prepared", "reduced"])):
            log_progress(f"{stage} {folder} on {engine}")
            costs[stage] = run_and_measure([sys.executable, "-m", f"stages.{stage}", *paths], work, environment)
        # Every row read is either a prepared title or a rejected row.
        rows = sum(pq.read_metadata(path).num_rows for path in (work / "prepared").glob("*.parquet"))
        return [{"engine": engine, "stage": stage, "rows": rows} | cost for stage, cost in costs.items()]


def slopes(costs: pd.DataFrame) -> pd.DataFrame:
    """Return the cost of each further million rows, from the smallest to the largest folder."""
    slopes_by_stage = []
    for (engine, stage), sizes in costs.groupby(["engine", "stage"], sort=False):
        few, many = (sizes.loc[index] for index in (sizes.rows.idxmin(), sizes.rows.idxmax()))
        more = (many[COSTS] - few[COSTS]) / ((many.rows - few.rows) / MILLION)
        slopes_by_stage.append({"engine": engine, "stage": stage} | more.to_dict())
    return pd.DataFrame(slopes_by_stage)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.engines", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    options = parser.parse_args()
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{package} {version(package)}" for package in ("duckdb", "pyspark", "ibis-framework"))
    print(f"{available_cpus()} cores, {memory:.0f} GiB; Python {platform.python_version()}, {packages}\n")
    costs = pd.DataFrame(
        [row for folder in options.folders for engine in options.engines for row in measure(folder, engine)]
    )
    formats = {"rows": ",.0f", "seconds": ",.1f", "cpu_seconds": ",.1f", "peak_mb": ",.0f", "disk_mb": ",.0f"}
    print(markdown(costs, formats))
    if len(options.folders) > 1:
        print("\nCost of each further million rows:\n")
        print(markdown(slopes(costs), formats))


if __name__ == "__main__":
    main()
