"""Lineage of a stage from DVC: hashes of dependencies and outputs, and the plots of dvc.yaml.

DVC is imported in the functions that use it, as it takes memory while a stage runs.
"""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo

log = logging.getLogger(__name__)

CODE_FOLDERS = ("src/", "stages/")


def stage_hashes(with_outputs: bool) -> dict[str, dict[str, str]]:
    """Return the hashes of the stage that DVC runs in this process, by kind and path.

    dep  the dependencies
    out  the outputs, if `with_outputs`
    raw  the data that no stage of the pipeline writes

    They are the hashes that DVC writes to dvc.lock. DVC caches them, so no file is read twice.
    Return {} for a stage that a user starts, as its paths may differ from those in dvc.yaml.
    """
    from dvc.repo import Repo

    if "DVC_STAGE" not in os.environ:
        return {}
    with Repo() as repo:
        stage = repo.stage.load_one(name=os.environ["DVC_STAGE"])
        files = {
            "dep": [item for item in stage.deps if item not in stage.params],
            "out": stage.outs if with_outputs else [],
            "raw": _raw_inputs(repo),
        }
        return {kind: {str(item): _hash(item) for item in items if item.exists} for kind, items in files.items()}


def _raw_inputs(repo: "Repo") -> "list[Output]":
    """Return the dependencies that no stage of the pipeline writes, without code."""
    stages = [stage for stage in repo.index.stages if stage.cmd]
    written = {str(output) for stage in stages for output in stage.outs}
    read = {str(item): item for stage in stages for item in stage.deps if item not in stage.params}
    return [item for path, item in read.items() if path not in written and not path.startswith(CODE_FOLDERS)]


def output_hash(folder: Path) -> str:
    """Return DVC's hash of an output in the workspace, or an empty string if no stage writes it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            (output,) = repo.find_outs_by_path(str(folder))
            return _hash(output) if output.exists else ""
    except DvcException:
        return ""


def _hash(item: "Output") -> str:
    return str(item.get_hash().value)


def draw_plots(folder: Path) -> list[Path]:
    """Draw the plots of dvc.yaml as PNG files in `folder`, without internet access. Leave out plots without data."""
    import vl_convert

    command = [sys.executable, "-m", "dvc", "plots", "show", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the plots cannot be drawn: {done.stderr.strip()}")
    pictures = []
    for title, charts in json.loads(done.stdout)["data"].items():
        try:
            picture = vl_convert.vegalite_to_png(charts[0]["content"], scale=1.5)
        except (LookupError, TypeError, ValueError) as error:
            log.warning("the plot %r is left out, as it has no data or cannot be drawn: %s", title, error)
            continue
        pictures.append(folder / f"{title.replace('/', '_')}.png")
        pictures[-1].write_bytes(picture)
    return pictures
