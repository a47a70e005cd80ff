"""How time and memory grow: `python -m benchmarks.scale WORK ROW …`, and `python -m benchmarks.scale --table`.

A ROW is what is measured and the rows of the invented catalogue: `data-20m`, `mlp-1m`, `fasttext-2400k`. Each makes
what it lacks in WORK, the catalogue and what earlier stages put out, and takes what it finds there as it is. What is
measured is run from its start, in a clone of the last commit, with MLflow on, and in a memory cgroup of 3 GB where one
can be made. Every part of a row is a line in docs/scale.jsonl once it is done; what is there for the last commit that
changed the code is passed over, so that a benchmark that was stopped goes on.
"""

import argparse
import json
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.growth import Measured
from benchmarks.report import say
from benchmarks.rows import ROWS
from benchmarks.workspace import Workspace, catalogue_rows, clone
from titles.core.cpus import available_cpus


def machine() -> dict[str, str]:
    """Where this runs, and on what."""
    processor = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    cores, memory = available_cpus(), psutil.virtual_memory().total >> 30
    packages = ", ".join(f"{package} {version(package)}" for package in ("torch", "numpy", "duckdb", "mlflow"))
    return {
        "machine": f"{(processor or [platform.machine()])[0]}, {cores} cores, {memory} GB",
        "versions": f"Python {platform.python_version()}, {packages}",
    }


def measure(work: Path, row: str, measured: Path) -> None:
    """Appends the parts of the row that are not there for this code."""
    name, _, size = row.rpartition("-")
    code = clone(work / "checkout")
    space = Workspace(work / "checkout", work / size, catalogue_rows(size))
    space.folder.mkdir(parents=True, exist_ok=True)
    lines = map(json.loads, measured.read_text(encoding="utf-8").splitlines()) if measured.exists() else ()
    done = {(line["row"], line["part"]) for line in lines if line["commit"] == code}
    for part, found in ROWS[name](space):
        if (row, part) in done:
            say(f"{row}, {part}: is there")
            continue
        for line in found():
            told = {"row": row, "part": part} | line | {"commit": code} | machine()
            with measured.open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
            say(json.dumps(line))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("rows", nargs="*", metavar="row", help=f"{', '.join(ROWS)}, each with its size: data-20m")
    parser.add_argument("--table", action="store_true", help="print and draw what was measured instead")
    parser.add_argument("--measured", type=Path, default=Path("docs/scale.jsonl"))
    parser.add_argument("--picture", type=Path, default=Path("docs/scale.svg"))
    options = parser.parse_args()
    for row in options.rows:
        if row.rpartition("-")[0] not in ROWS:
            parser.error(f"there is no row {row}; a row is one of {', '.join(ROWS)}, with its size: data-20m")
        measure(options.work.resolve(), row, options.measured)
    if options.table:
        measured = Measured(options.measured)
        print(measured.targets(), measured.growth(), measured.all(), measured.profiles(), sep="\n\n")
        measured.draw(options.picture)


if __name__ == "__main__":
    main()
