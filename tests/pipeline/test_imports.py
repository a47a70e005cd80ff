import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


def modules_loaded_by(module):
    """The names of the top-level modules that a fresh Python has after `import module`."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return set(subprocess.check_output([sys.executable, "-c", script], env=environment, text=True).split())


@pytest.mark.parametrize(
    ("module", "needed", "unneeded"),
    [
        (
            "titles.training.trainer",
            {"titles", "torch", "numpy", "safetensors"},
            {"pyarrow", "pandas", "ibis", "duckdb", "mlflow", "yaml", "sklearn"},
        ),
        (
            "titles.onnx.classifier",
            {"titles", "numpy", "pandas", "pyarrow"},
            {"torch", "onnx", "safetensors", "ibis", "duckdb", "mlflow", "yaml", "sklearn"},
        ),
        # Their libraries read once, when they are loaded, what `titles.core.cpus` sets.
        ("titles.cli", {"titles"}, {"torch", "numpy", "pyarrow"}),
        ("titles.nn.hparams", {"titles"}, {"torch", "numpy", "mlflow", "pandas", "ibis"}),
    ],
)
def test_a_module_loads_what_it_needs_and_no_more(module, needed, unneeded):
    loaded = modules_loaded_by(module)
    assert needed <= loaded
    assert not unneeded & loaded
