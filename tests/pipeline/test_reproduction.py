"""Reproducibility of the pipeline: a second run, and a clone that pulls from a remote."""

from pathlib import Path

from tests.repository import ALL, Repository


def test_a_forced_second_run_gives_the_same_bytes(repository: Repository) -> None:
    before = repository.lock()
    assert repository.stages_run_by("dvc", "repro", "--force") == ALL
    assert repository.lock() == before


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
    for path in ("models/mlp/weights.safetensors", "models/cnn/vocabulary.json", "data/prepared/rejected.parquet"):
        assert (clone.folder / path).read_bytes() == (repository.folder / path).read_bytes()
    # No run of the clone has logged a model, so `promote` logs it.
    assert "cnn, balanced accuracy" in clone.python("titles.tracking.promote", "cnn")
    assert "version 1" in clone.python("titles.tracking.promote", "cnn")
