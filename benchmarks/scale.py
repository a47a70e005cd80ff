"""Time and memory by catalogue size: `python -m benchmarks.scale WORK ROW …`, and `python -m benchmarks.scale --table`.

A ROW names a row of the table and the number of catalogue rows: `data-20m`, `mlp-1m`, `fasttext-2400k`. Each makes its
missing inputs in WORK, the invented catalogue and the outputs of earlier stages, and reuses those that exist. The
measured stages run from their start, in a clone of the last commit, with MLflow on, and in a memory cgroup of 3 GB if
one can be made. Each measurement of a row is appended to docs/data/scale.jsonl when it ends. Measurements that exist
for the last commit that changed the code are skipped, so that an interrupted benchmark can be resumed.
"""

import argparse
import json
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.growth import Results
from benchmarks.report import log_progress
from benchmarks.rows import ROWS
from benchmarks.workspace import Workspace, catalogue_rows, clone
from titles.core.cpus import available_cpus


def describe_machine() -> dict[str, str]:
    """Return the processor, cores and memory of this machine, and the versions of the libraries."""
    processor = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    cores, memory = available_cpus(), psutil.virtual_memory().total >> 30
    packages = ", ".join(f"{package} {version(package)}" for package in ("torch", "numpy", "duckdb", "mlflow"))
    return {
        "machine": f"{(processor or [platform.machine()])[0]}, {cores} cores, {memory} GB",
        "versions": f"Python {platform.python_version()}, {packages}",
    }


def measure(work: Path, row: str, file: Path) -> None:
    """Append the measurements of a row that do not exist yet for the current code."""
    name, _, size = row.rpartition("-")
    code = clone(work / "checkout")
    space = Workspace(work / "checkout", work / size, catalogue_rows(size))
    space.folder.mkdir(parents=True, exist_ok=True)
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines()) if file.exists() else ()
    done = {(line["row"], line["part"]) for line in lines if line["commit"] == code}
    for measurement, run in ROWS[name](space):
        if (row, measurement) in done:
            log_progress(f"{row}, {measurement}: already measured")
            continue
        for line in run():
            record = {"row": row, "part": measurement} | line | {"commit": code} | describe_machine()
            with file.open("a", encoding="utf-8") as records:
                records.write(json.dumps(record) + "\n")
            log_progress(json.dumps(line))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("rows", nargs="*", metavar="row", help=f"{', '.join(ROWS)}, each with its size: data-20m")
    parser.add_argument("--table", action="store_true", help="print and draw the measurements instead")
    parser.add_argument("--measured", type=Path, default=Path("docs/data/scale.jsonl"))
    parser.add_argument("--picture", type=Path, default=Path("docs/images/scale.svg"))
    options = parser.parse_args()
    for row in options.rows:
        if row.rpartition("-")[0] not in ROWS:
            parser.error(f"unknown row {row}; allowed: one of {', '.join(ROWS)}, with its size: data-20m")
        measure(options.work.resolve(), row, options.measured)
    if options.table:
        results = Results(options.measured)
        print(results.targets(), results.growth(), results.all(), results.profiles(), sep="\n\n")
        results.draw(options.picture)


if __name__ == "__main__":
    main()
