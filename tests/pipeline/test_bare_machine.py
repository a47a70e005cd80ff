"""A machine that has what training needs and nothing else, such as one with a GPU that is rented for an hour."""

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
NEEDED = ("numpy", "pyyaml", "safetensors", "torch")
BARE = """
import runpy, sys

class WithoutAbsent:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *places):
        return None if name.partition(".")[0] in absent else self.finder.find_spec(name, *places)

    def __getattr__(self, name):
        return getattr(self.finder, name)

absent = set(sys.argv.pop(1).split(","))
sys.meta_path[:] = map(WithoutAbsent, sys.meta_path)
sys.argv.pop(0)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def with_requirements(names: tuple[str, ...]) -> set[str]:
    """These distributions and all that they cannot be installed without."""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        if (name := canonicalize_name(waiting.pop())) not in found:
            found.add(name)
            required = map(Requirement, distribution(name).requires or [])
            waiting += [one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def absent_modules() -> set[str]:
    """The modules of all other distributions that are installed here."""
    installed = with_requirements(NEEDED)
    return {
        module
        for module, names in packages_distributions().items()
        if not installed & {canonicalize_name(name) for name in names} and module not in ("titles", "stages")
    }


def test_what_a_bare_machine_lacks_is_known() -> None:
    assert {"mlflow", "dvc", "pandas", "pyarrow", "ibis", "duckdb", "psutil", "ruamel", "sklearn"} <= absent_modules()
    assert not {"torch", "numpy", "safetensors", "yaml"} & absent_modules()


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_without_tracking_a_network_is_trained_on_torch_numpy_safetensors_and_a_yaml_reader_alone(
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
