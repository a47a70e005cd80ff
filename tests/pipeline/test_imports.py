import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fitted import fit_both

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "numpy", "pandas", "pyarrow"}
TITLES_COMMAND = "from titles.cli import main; main()"
# The server is built completely and not started.
SERVE_COMMAND = f"import titles.serving.server as server; server.run = lambda *_: None; {TITLES_COMMAND}"


def loaded_modules(script, *arguments, cwd=ROOT):
    """The names of all modules that a new Python process has loaded after it ran the script."""
    command = [sys.executable, "-c", f"{script}; import sys; print(*sys.modules)", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    return set(subprocess.check_output(command, cwd=cwd, env=environment, text=True).split())


def top_level(modules):
    return {name.partition(".")[0] for name in modules}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return fit_both(tmp_path_factory.mktemp("fitted"))


@pytest.mark.parametrize(
    ("module", "needed", "unneeded"),
    [
        ("titles", {"titles"}, HEAVY),
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
        # `titles.core.cpus` sets environment variables that these libraries read when they are loaded.
        ("titles.cli", {"titles"}, {"torch", "numpy", "pyarrow"}),
        ("titles.nn.hparams", {"titles"}, {"torch", "numpy", "mlflow", "pandas", "ibis"}),
    ],
)
def test_a_module_loads_only_what_it_needs(module, needed, unneeded):
    loaded = top_level(loaded_modules(f"import {module}"))
    assert needed <= loaded
    assert not unneeded & loaded


def test_classifier_is_imported_from_the_package():
    loaded = loaded_modules("from titles import Classifier; assert Classifier.load")
    assert {"titles.inference.classifier", "torch"} <= loaded


def test_help_names_the_entry_points():
    script = "import pydoc, titles; print(pydoc.render_doc(titles, renderer=pydoc.plaintext))"
    page = subprocess.check_output(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, text=True
    )
    for name in (
        "Classifier",
        "titles.onnx.classifier",
        "titles.training.fit",
        "titles predict, submit, export, serve",
    ):
        assert name in page
    assert "class Classifier(" in page


@pytest.mark.parametrize(
    ("module", "script", "arguments"),
    [
        ("titles.inference.batch_predict", TITLES_COMMAND, ["predict", "MODELS", "TITLES", "-o", "predictions.csv"]),
        ("titles.serving.app", SERVE_COMMAND, ["serve", "MODELS", "--allow-reload"]),
        ("titles.evaluation.evaluate", "import titles.evaluation.evaluate, stages.evaluate", []),
    ],
    ids=["predict", "serve", "evaluate"],
)
def test_a_trained_model_is_used_without_the_modules_of_training(models, tmp_path, module, script, arguments):
    (tmp_path / "titles.csv").write_text("id,title\n1,palabra1\n")
    paths = {"MODELS": models, "TITLES": tmp_path / "titles.csv"}
    loaded = loaded_modules(script, *(paths.get(argument, argument) for argument in arguments), cwd=tmp_path)
    assert module in loaded
    assert {name for name in loaded if name.startswith("titles.training")} == set()
    assert (tmp_path / "predictions.csv").exists() == ("predict" in arguments)
