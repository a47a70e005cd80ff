"""dvc.yaml declares exactly what the code of each stage uses."""

import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest
import yaml

from titles.core.config import SECTIONS
from titles.tracking.run import Run
from titles.training import fingerprint

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
CODE = ("src/", "stages/")
PACKAGE = ROOT / "src/titles/__init__.py"
# A template, because it is read from params.yaml: on the command line the shell would expand special characters in it.
RAW = "${data.raw}"

# The packages that no stage declares, and why none of them can change an output.
NO_INFLUENCE = {
    # Checks parameters, reports progress and errors, writes folders atomically: content passes through unchanged.
    # cpus and memory decide how fast results come; the number of threads of a training is train.threads. prefetch keeps
    # the order of what it reads ahead.
    "src/titles/core",
    # Receive what a stage logs, and return nothing.
    "src/titles/tracking",
    "src/titles/mlflow_store",
    # Runs a stage: arguments, logging, the exit status.
    "src/titles/stage.py",
}


def imported_files(path: Path) -> set[Path]:
    """The files of the project that this file imports, at the top or within a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    roots = {"titles": ROOT / "src", "stages": ROOT}
    paths = [roots[top] / name.replace(".", "/") for name in names if (top := name.partition(".")[0]) in roots]
    files = {path.with_suffix(".py") for path in paths} | {path / "__init__.py" for path in paths}
    return {file for file in files if file.exists()}


def declared_as(file: Path) -> str:
    """The entry of dvc.yaml that covers the file: its package, or the file itself outside one."""
    is_in_package = file.parent.name not in ("titles", "stages")
    return (file.parent if is_in_package else file).relative_to(ROOT).as_posix()


def used_code(stage: str) -> set[str]:
    """The code that a stage imports, directly or indirectly, as entries of dvc.yaml."""
    used: set[Path] = set()
    queue = [ROOT / "stages" / f"{stage}.py"]
    while queue:
        file = queue.pop()
        if file not in used and declared_as(file) not in NO_INFLUENCE:
            used.add(file)
            # From `titles` itself a stage imports only the version.
            queue += imported_files(file) if file != PACKAGE else []
    return {declared_as(file) for file in used}


def signature(stage: str) -> inspect.Signature:
    return inspect.signature(getattr(importlib.import_module(f"stages.{stage}"), stage))


def paths(entries: list[str | dict[str, object]]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage: str) -> list[str]:
    return paths([path for kind in ("outs", "metrics", "plots") for path in STAGES[stage].get(kind, [])])


def test_the_six_stages_are_declared_in_the_order_they_run() -> None:
    assert list(STAGES) == ["prepare", "reduce", "embed", "train_mlp", "train_cnn", "evaluate"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_packages_it_imports(stage: str) -> None:
    declared = [path for path in STAGES[stage]["deps"] if path.startswith(CODE)]
    assert sorted(declared) == sorted(used_code(stage))


def test_the_version_in_a_model_folder_is_a_dependency_of_training() -> None:
    assert "src/titles/__init__.py" in used_code("train_mlp")


@pytest.mark.parametrize("stage", ["train_mlp", "train_cnn"])
def test_a_killed_training_resumes_unless_code_that_computes_its_weights_has_changed(stage: str) -> None:
    stage_files = {f"stages/{stage}.py", "stages/training.py"}
    after_training = {"src/titles/persistence", "src/titles/text", "src/titles/__init__.py"} | stage_files
    assert {f"src/titles/{name}" for name in fingerprint.CODE} == used_code(stage) - after_training


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_sections_that_are_keywords_of_its_function(stage: str) -> None:
    keywords = [p.name for p in signature(stage).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert [name for name in keywords if name != "run"] == STAGES[stage].get("params", [])


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_an_optional_package(stage: str) -> None:
    assert not {"src/titles/serving", "src/titles/onnx"} & used_code(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_line_has_a_path_for_every_required_argument_of_its_stage(stage: str) -> None:
    positional = [p for p in signature(stage).parameters.values() if p.annotation is Path]
    python, flag, module, *arguments = shlex.split(STAGES[stage]["cmd"])
    assert (python, flag, module) == ("python", "-m", f"stages.{stage}")
    assert len(arguments) == len(positional)


@pytest.mark.parametrize("stage", STAGES)
def test_the_paths_on_a_command_line_are_the_declared_ones(stage: str) -> None:
    data = [path for path in STAGES[stage]["deps"] if not path.startswith(CODE)]
    arguments = shlex.split(STAGES[stage]["cmd"])[3:]
    for path in [path for path in [*data, *outputs(stage)] if path != RAW]:
        assert any(path == argument or path.startswith(f"{argument}/") for argument in arguments), path
    for argument in arguments:
        assert any(path == argument or path.startswith(f"{argument}/") for path in [*data, *outputs(stage)]), argument


@pytest.mark.parametrize("stage", STAGES)
def test_the_description_of_a_stage_is_shorter_than_70_characters(stage: str) -> None:
    assert 0 < len(STAGES[stage]["desc"]) < 70


def test_params_yaml_has_the_declared_sections_and_every_one_is_used() -> None:
    used = {name for stage in STAGES.values() for name in stage.get("params", [])}
    assert tuple(PARAMS) == SECTIONS
    assert used == set(SECTIONS)


def test_only_the_raw_folder_is_templated_and_no_command_contains_it() -> None:
    assert re.findall(r".*\$\{.*", (ROOT / "dvc.yaml").read_text()) == [f"    - {RAW}"]


def test_every_parameter_is_explained_on_the_line_above_it() -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [index for index, line in enumerate(lines) if re.match(r" +\w+:", line)]
    assert [lines[index] for index in keys if not lines[index - 1].strip().startswith("#")] == []


def test_run_is_the_only_keyword_that_is_not_a_section() -> None:
    assert all(signature(stage).parameters["run"].annotation is Run for stage in STAGES)
