"""Training on a machine with only torch, NumPy, safetensors and PyYAML, such as a rented GPU machine."""

import os
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.numbered import write_numbered

ROOT = Path(__file__).parents[2]
REQUIRED = ("numpy", "pyyaml", "safetensors", "torch")
BARE = """
import runpy, sys

class WithoutAbsent:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *args):
        return None if name.partition(".")[0] in absent else self.finder.find_spec(name, *args)

    def __getattr__(self, name):
        return getattr(self.finder, name)

absent = set(sys.argv.pop(1).split(","))
sys.meta_path[:] = map(WithoutAbsent, sys.meta_path)
sys.argv.pop(0)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def with_requirements(names: tuple[str, ...]) -> set[str]:
    """Return these distributions and all their required dependencies."""
    required: set[str] = set()
    queue = [*names]
    while queue:
        if (name := canonicalize_name(queue.pop())) not in required:
            required.add(name)
            requirements = map(Requirement, distribution(name).requires or [])
            queue += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return required


def absent_modules() -> set[str]:
    """Return the modules of all other installed distributions."""
    installed = with_requirements(REQUIRED)
    return {
        module
        for module, names in packages_distributions().items()
        if not installed & {canonicalize_name(name) for name in names} and module not in ("titles", "stages")
    }


def test_only_the_required_distributions_are_available() -> None:
    assert {"mlflow", "dvc", "pandas", "pyarrow", "ibis", "duckdb", "psutil", "ruamel", "sklearn"} <= absent_modules()
    assert not {"torch", "numpy", "safetensors", "yaml"} & absent_modules()


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_training_without_tracking_requires_only_torch_numpy_safetensors_and_pyyaml(
    tmp_path: Path, network: str
) -> None:
    write_numbered(tmp_path, train=60, validation=20)
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    changes = {"epochs: 8\n": "epochs: 1\n", "min_steps: 400\n": "min_steps: 1\n"}
    for line, changed in changes.items():
        assert params.count(line) == 1
        params = params.replace(line, changed)
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    paths = ["embedded", "vectors.npy", f"models/{network}"]
    command = [sys.executable, "-c", BARE, ",".join(absent_modules()), f"stages.train_{network}", *paths]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TITLES_TRACKING": "off"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"models/{network}/weights.safetensors").exists()
