"""What the documentation lists and quotes: parameters, environment variables, accuracies, the drawn figure."""

import csv
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from benchmarks.intervals import wilson_interval

ROOT = Path(__file__).parents[2]
SET_BY_SHELL = re.compile(r"^(?:export )?([A-Z_]+) ?[?:]?=|\$[({](?:if )?\$?\(?([A-Z_]{2,})", re.MULTILINE)
VARIABLE = re.compile(r"""environ(?:\.\w+)?[\[(]\s*f?["']([A-Z_]+)["']|["']([A-Z_]+)["'] (?:not )?in os\.environ""")


def parameters(section: dict[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from parameters(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value).lower() if isinstance(value, bool) else str(value)


def test_every_parameter_is_documented_with_its_default() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    expected = {f"| `{key}` | {default} |" for key, default in parameters(params)}
    page = (ROOT / "docs/parameters.md").read_text(encoding="utf-8")
    assert expected == set(re.findall(r"^\| `\w+\.[\w.]+` \| [^|]* \|", page, re.MULTILINE))


def test_every_environment_variable_of_the_code_is_documented() -> None:
    files = [file for name in ("src", "stages", "benchmarks", "tests") for file in (ROOT / name).rglob("*.py")]
    found = {name for file in files for pair in VARIABLE.findall(file.read_text(encoding="utf-8")) for name in pair}
    shell = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", ".ci/run"))
    found |= {name for pair in SET_BY_SHELL.findall(shell) for name in pair}
    found -= {"", "CURDIR", "MAKEFILE_LIST", "PYTEST_XDIST_WORKER"}
    assert {"TITLES_DEVICE", "DVC_STAGE", "OMP_WAIT_POLICY", "MLFLOW_EXPERIMENT_ID", "TITLES_FAIL_ON_SKIP"} <= found
    assert {"PYTHONPATH", "PATH", "ALL", "ROWS", "WORKERS"} <= found
    page = (ROOT / "docs/environment.md").read_text(encoding="utf-8")
    assert found <= set(re.findall(r"`([A-Z_]+)`", page))


def measurements() -> dict[tuple[str, str], dict[str, float]]:
    """By shape and model, the measured values of docs/data/shapes.csv."""
    columns = ("balanced_accuracy", "low", "high", "accuracy", "test_titles")
    with (ROOT / "docs/data/shapes.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["shape"], row["model"]): {column: float(row[column]) for column in columns}
            for row in csv.DictReader(file)
        }


def quote(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_accuracies_that_are_quoted_are_those_of_shapes_csv(page: str) -> None:
    text, found = (ROOT / page).read_text(encoding="utf-8"), measurements()
    shapes = {shape for shape, _ in found} if page != "README.md" else {"demo-tenth", "real-all"}
    for (shape, model), values in found.items():
        if shape in shapes and model in ("mlp", "cnn", "mean"):
            balanced, low, high, accuracy = map(quote, [*values.values()][:4])
            assert f"{balanced} ({low} to {high})" in text, (shape, model)
            assert accuracy in text, (shape, model)


def test_the_readme_has_the_interval_of_every_accuracy() -> None:
    text, found = (ROOT / "README.md").read_text(encoding="utf-8"), measurements()
    for shape in ("demo-tenth", "real-all"):
        for model in ("words and characters, linear SVM", "mlp", "cnn", "mean"):
            row = found[shape, model]
            low, high = wilson_interval(row["accuracy"], int(row["test_titles"]))
            assert f"| {quote(row['accuracy'])} ({quote(low)} to {quote(high)})" in text, (shape, model)


def test_the_output_that_the_readme_quotes_of_make_repro_is_that_of_shapes_csv() -> None:
    text, found = (ROOT / "README.md").read_text(encoding="utf-8"), measurements()
    for model in ("mlp", "cnn", "mean"):
        assert f"\n{model:5}balanced accuracy {found['demo-tenth', model]['balanced_accuracy']}\n" in text


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_the_figure_of_the_architecture_is_that_of_params_yaml() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    drawn = load_script(ROOT / "docs/figures/architecture.py").draw(params)
    committed = (ROOT / "docs/images/architecture.svg").read_text(encoding="utf-8")
    assert committed == drawn, "draw it again: python docs/figures/architecture.py"
