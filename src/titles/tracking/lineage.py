"""What DVC knows of a stage, asked of DVC itself: its hashes, and the plots of dvc.yaml."""

import json
import os
import subprocess
import sys
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo


def hashes_of_stage(finished: bool) -> dict[str, dict[str, str]]:
    """The hashes of the dependencies (`dep`) and, once finished, outputs (`out`) of the stage DVC runs here, by path.

    Those that DVC is about to write to dvc.lock; it keeps them, so that nothing is read twice. None for a stage that
    is started by hand, whose paths are its own.
    """
    if "DVC_STAGE" not in os.environ:
        return {}
    with Repo() as repo:
        stage = repo.stage.load_one(name=os.environ["DVC_STAGE"])
        files = {
            "dep": [item for item in stage.deps if item not in stage.params],
            "out": stage.outs if finished else [],
        }
        return {kind: {str(item): _hash(item) for item in items if item.exists} for kind, items in files.items()}


def hash_of(folder: Path) -> str:
    """DVC's hash of an output as it is now; empty where no stage writes it."""
    try:
        with Repo() as repo:
            (output,) = repo.find_outs_by_path(str(folder))
            return _hash(output) if output.exists else ""
    except DvcException:
        return ""


def _hash(item: Output) -> str:
    return str(item.get_hash().value)


def draw_plots(folder: Path) -> list[Path]:
    """The plots of dvc.yaml as pictures, drawn without a network."""
    import vl_convert

    command = [sys.executable, "-m", "dvc", "plots", "show", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DvcException(f"the plots cannot be drawn: {done.stderr.strip()}")
    pictures = []
    for title, (chart, *_) in json.loads(done.stdout)["data"].items():
        picture = folder / f"{title}.png"
        picture.write_bytes(vl_convert.vegalite_to_png(chart["content"], scale=1.5))
        pictures.append(picture)
    return pictures
