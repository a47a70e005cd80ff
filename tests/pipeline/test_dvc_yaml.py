"""dvc.yaml tells the truth: what a stage declares is exactly what its code uses."""

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
# Read from params.yaml, as the shell would expand what a user's name for it may hold.
RAW = "${data.raw}"

# The packages that no stage declares, and why none of them can change an output.
NO_INFLUENCE = {
    # Checks parameters, reports progress and errors, writes folders atomically: content passes through unchanged.
    "src/titles/core",
    # Receive what a stage logs, and return nothing.
    "src/titles/tracking",
    "src/titles/mlflow_store",
    # Runs a stage: arguments, logging, the exit status.
    "src/titles/stage.py",
}


def imported_files(path: Path) -> set[Path]:
    """The files of the project that this one imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    paths = [ROOT / "src" / name.replace(".", "/") for name in names if name and name.startswith("titles")]
    files = {path.with_suffix(".py") for path in paths} | {path / "__init__.py" for path in paths}
    return {file for file in files if file.exists()}


def declared_as(file: Path) -> str:
    """The entry of dvc.yaml that covers the file: its package, or the file itself outside one."""
    is_in_package = file.parent.name not in ("titles", "stages")
    return (file.parent if is_in_package else file).relative_to(ROOT).as_posix()


def used_code(stage: str) -> set[str]:
    """What the code of a stage imports, directly or not, by its entry in dvc.yaml."""
    found: set[Path] = set()
    waiting = [ROOT / "stages" / f"{stage}.py"]
    while waiting:
        file = waiting.pop()
        if file not in found and declared_as(file) not in NO_INFLUENCE:
            found.add(file)
            # Of `titles` itself a stage takes the version alone.
            waiting += imported_files(file) if file != PACKAGE else []
    return {declared_as(file) for file in found}


def signature(stage: str) -> inspect.Signature:
    return inspect.signature(getattr(importlib.import_module(f"stages.{stage}"), stage))


def paths(entries: list[str | dict[str, object]]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage: str) -> list[str]:
    return paths([path for kind in ("outs", "metrics", "plots") for path in STAGES[stage].get(kind, [])])


def test_the_six_stages_are_there_in_the_order_they_run() -> None:
    assert list(STAGES) == ["prepare", "reduce", "embed", "train_mlp", "train_cnn", "evaluate"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_packages_it_imports(stage: str) -> None:
    declared = [path for path in STAGES[stage]["deps"] if path.startswith(CODE)]
    assert sorted(declared) == sorted(used_code(stage))


def test_the_version_in_a_model_folder_is_a_dependency_of_training() -> None:
    assert "src/titles/__init__.py" in used_code("train_mlp")


@pytest.mark.parametrize("stage", ["train_mlp", "train_cnn"])
def test_a_killed_training_resumes_unless_code_that_computes_its_weights_has_changed(stage: str) -> None:
    after_training = {"src/titles/persistence", "src/titles/text", "src/titles/__init__.py", f"stages/{stage}.py"}
    assert {f"src/titles/{name}" for name in fingerprint.CODE} == used_code(stage) - after_training


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_sections_that_are_keywords_of_its_function(stage: str) -> None:
    keywords = [p.name for p in signature(stage).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert [name for name in keywords if name != "run"] == STAGES[stage].get("params", [])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_nothing_of_what_is_installed_as_wanted(stage: str) -> None:
    assert not {"src/titles/serving", "src/titles/onnx"} & used_code(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_path_on_its_command_line_for_every_argument_that_must_have_one(stage: str) -> None:
    positional = [p for p in signature(stage).parameters.values() if p.annotation is Path]
    python, flag, module, *arguments = shlex.split(STAGES[stage]["cmd"])
    assert (python, flag, module) == ("python", "-m", f"stages.{stage}")
    assert len(arguments) == len(positional)


@pytest.mark.parametrize("stage", STAGES)
def test_the_paths_on_a_command_line_are_those_declared(stage: str) -> None:
    data = [path for path in STAGES[stage]["deps"] if not path.startswith(CODE)]
    arguments = shlex.split(STAGES[stage]["cmd"])[3:]
    for path in [path for path in [*data, *outputs(stage)] if path != RAW]:
        assert any(path == given or path.startswith(f"{given}/") for given in arguments), path
    for given in arguments:
        assert any(path == given or path.startswith(f"{given}/") for path in [*data, *outputs(stage)]), given


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_described_in_few_words(stage: str) -> None:
    assert 0 < len(STAGES[stage]["desc"]) < 70


def test_params_yaml_has_the_known_sections_and_every_one_is_used() -> None:
    used = {name for stage in STAGES.values() for name in stage.get("params", [])}
    assert tuple(PARAMS) == SECTIONS
    assert used == set(SECTIONS)


def test_the_raw_folder_alone_is_templated_and_never_goes_through_the_shell() -> None:
    assert re.findall(r".*\$\{.*", (ROOT / "dvc.yaml").read_text()) == [f"    - {RAW}"]


def test_every_parameter_is_explained_on_the_line_above_it() -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [place for place, line in enumerate(lines) if re.match(r" +\w+:", line)]
    assert [lines[place] for place in keys if not lines[place - 1].strip().startswith("#")] == []


def test_run_is_the_one_keyword_that_is_no_section() -> None:
    assert all(signature(stage).parameters["run"].annotation is Run for stage in STAGES)
