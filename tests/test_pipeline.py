"""The whole pipeline as a user runs it, by DVC, on a small catalogue in a repository of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from titles.demo.__main__ import write

ROOT = Path(__file__).parents[1]
SMALL = {
    "prepare": {"validation_fraction": 0.2, "test_fraction": 0.2},
    "reduce": {"fraction": 1},
    "embed": {"dimension": 16, "subword_buckets": 997},
    "mlp": {"hidden": [16]},
    "cnn": {"filters": 8},
    "train": {"epochs": 2, "batch_size": 32, "learning_rate": 0.02},
}
TRAINED = ["train_mlp", "train_cnn", "evaluate"]
ALL = ["prepare", "reduce", "embed", *TRAINED]


class Repository:
    """A checkout and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, tracking: str = "off", status: int | None = 0) -> str:
        """What the command printed; fails where its status is another."""
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        names = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        environment |= {
            "PATH": search,
            "TITLES_TRACKING": tracking,
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def stages_run_by(self, *command: str) -> list[str]:
        printed = self.run(*command)
        return [stage for stage in ALL if f"Running stage '{stage}'" in printed]

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", message)

    def metrics(self) -> dict[str, dict[str, float]]:
        content: dict[str, dict[str, float]] = json.loads((self.folder / "results/metrics.json").read_text())
        return content

    def lock(self) -> dict[str, object]:
        content: dict[str, object] = yaml.safe_load((self.folder / "dvc.lock").read_text())
        return content


def write_catalogue(path: Path, rows: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        write(file, rows, num_categories=6, seed=seed)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The tracked files of this checkout with a small catalogue and small networks, run and committed."""
    folder = tmp_path_factory.mktemp("repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if not name.startswith(("results/", "data/demo/")) and name != "dvc.lock" and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    write_catalogue(folder / "data/demo/train.csv", rows=900, seed=1)
    params = YAML().load(folder / "params.yaml")
    for section, values in SMALL.items():
        params[section].update(values)
    YAML().dump(params, folder / "params.yaml")
    made = Repository(folder)
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    made.commit("start")
    made.run("dvc", "repro", tracking="on")
    made.commit("first run")
    return made


@pytest.fixture
def baseline(repository: Repository) -> Iterator[Repository]:
    """The repository, put back afterwards the way the README shows."""
    yield repository
    repository.run("git", "checkout", "--quiet", ".")
    repository.run("dvc", "repro")
    assert repository.run("git", "status", "--porcelain", "--untracked-files=no") == ""


def test_a_run_leaves_metrics_and_models_of_both_networks(repository: Repository) -> None:
    assert set(repository.metrics()) == {"mlp", "cnn", "mean"}
    assert all(0 < metrics["balanced_accuracy"] <= 1 for metrics in repository.metrics().values())
    assert (repository.folder / "models/mlp/weights.safetensors").exists()
    assert (repository.folder / "data/predicted/test.parquet").exists()


def test_a_second_run_has_nothing_to_do(repository: Repository) -> None:
    assert "up to date" in repository.run("dvc", "repro")
    assert "up to date" in repository.run("dvc", "status")


def test_every_stage_has_its_run_in_the_store(repository: Repository) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{repository.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("titles")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == sorted(ALL)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["train_mlp"].data.params["model.activation"] == "relu"
    epochs = client.get_metric_history(runs["train_cnn"].info.run_id, "validation_balanced_accuracy")
    assert [metric.step for metric in epochs] == [1, 2]
    logged = runs["evaluate"].data.metrics
    assert {name: logged[f"{name}.balanced_accuracy"] for name in ("mlp", "cnn", "mean")} == {
        name: metrics["balanced_accuracy"] for name, metrics in repository.metrics().items()
    }
    assert client.list_artifacts(runs["evaluate"].info.run_id)


def test_running_all_again_gives_the_same_bytes(repository: Repository) -> None:
    before = repository.lock()
    assert repository.stages_run_by("dvc", "repro", "--force") == ALL
    assert repository.lock() == before


def test_another_activation_trains_again_and_nothing_else_and_not_a_second_time(baseline: Repository) -> None:
    before = baseline.metrics()
    experiment = ("dvc", "exp", "run", "-S", "model.activation=sigmoid")
    assert baseline.stages_run_by(*experiment) == TRAINED
    assert baseline.metrics() != before
    assert "mlp.balanced_accuracy" in baseline.run("dvc", "metrics", "diff")
    charts = [next(iter(plot)) for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]]
    assert list(json.loads(baseline.run("dvc", "plots", "diff", "--json"))["data"]) == charts
    baseline.run("git", "checkout", "--quiet", ".")
    assert baseline.stages_run_by(*experiment) == ["evaluate"]


def test_a_folder_of_ones_own_runs_in_the_workspace_and_in_the_queue(baseline: Repository) -> None:
    write_catalogue(baseline.folder / "data/shop/portuguese.train.csv", rows=700, seed=2)
    baseline.run("dvc", "add", "data/shop")
    baseline.commit("a shop")
    experiment = ("dvc", "exp", "run", "-S", "data.raw=data/shop")
    assert baseline.stages_run_by(*experiment, "-S", "train.learning_rate=1e-5") == ALL
    assert "learning_rate: 1e-05" in (baseline.folder / "params.yaml").read_text()
    baseline.run(*experiment, "--queue", "--name", "queued", "-S", "model.activation=tanh")
    # The queue must run the code it was queued with, not what stands in the workspace by then.
    (baseline.folder / "src/titles/networks.py").write_text("raise RuntimeError('not my code')")
    baseline.run("dvc", "exp", "run", "--run-all")
    assert re.search(r"queued .* Success", baseline.run("dvc", "queue", "status"))
    shown = {row["name"]: row for row in json.loads(baseline.run("dvc", "exp", "show", "--json"))[1]["experiments"]}
    params = shown["queued"]["revs"][0]["data"]["params"]["params.yaml"]["data"]
    assert (params["data"]["raw"], params["model"]["activation"]) == ("data/shop", "tanh")


@pytest.mark.parametrize("way", ["add", "import-url", "import"])
def test_titles_may_come_by_any_way_dvc_knows_into_a_temporary_checkout(
    baseline: Repository, tmp_path: Path, way: str
) -> None:
    source = tmp_path / "source"
    write_catalogue(source / "spanish.test.csv", rows=600, seed=3)
    target = f"data/{way}/train.csv"
    (baseline.folder / target).parent.mkdir()
    if way == "add":
        shutil.copyfile(source / "spanish.test.csv", baseline.folder / target)
        baseline.run("dvc", "add", target)
    elif way == "import-url":
        baseline.run("dvc", "import-url", str(source / "spanish.test.csv"), target)
    else:
        publisher = Repository(source)
        publisher.run("git", "init", "--quiet")
        publisher.commit("titles")
        baseline.run("dvc", "import", str(source), "spanish.test.csv", "--out", target)
    baseline.commit(way)
    printed = baseline.run("dvc", "exp", "run", "--temp", "-S", f"data.raw=data/{way}", "prepare")
    assert "prepare: 600 read" in printed
    assert "passed over" not in printed


def test_a_clone_gets_data_and_models_from_a_remote_without_running_anything(
    repository: Repository, tmp_path: Path
) -> None:
    repository.run("dvc", "remote", "add", "--force", "--default", "storage", str(tmp_path / "storage"))
    repository.run("dvc", "push")
    repository.commit("a remote")
    repository.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone")
    clone.run("dvc", "pull")
    assert clone.stages_run_by("dvc", "repro") == []
    for path in ("models/mlp/weights.safetensors", "models/cnn/lexicon.json", "data/prepared/rejected.parquet"):
        assert (clone.folder / path).read_bytes() == (repository.folder / path).read_bytes()


@pytest.mark.parametrize(
    ("stage", "old", "new", "told"),
    [
        (
            "train_mlp",
            "activation: relu",
            "activation: banana",
            "model.activation is 'banana'; allowed: a word out of relu",
        ),
        ("train_cnn", "epochs: 2", "epochs: 0", "train.epochs is 0; allowed: a whole number in [1, inf)"),
        ("embed", "dimension:", "dimensions:", "embed.dimensions is not a parameter"),
        ("evaluate", "model:", "modle:", "the sections must be"),
    ],
)
def test_a_wrong_parameter_stops_a_stage_before_torch_or_mlflow_is_imported(
    repository: Repository, tmp_path: Path, stage: str, old: str, new: str, told: str
) -> None:
    for name in ("torch", "mlflow"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    params = (repository.folder / "params.yaml").read_text()
    assert old in params
    (tmp_path / "params.yaml").write_text(params.replace(old, new))
    places = os.pathsep.join([str(tmp_path), str(ROOT)])
    arguments = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["cmd"].split()[1:]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
