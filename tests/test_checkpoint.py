import os
import random
import shutil
import signal
import time
from dataclasses import replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from tests.numbered import write_numbered
from titles import checkpoint
from titles.checkpoint import Checkpoint, fingerprint
from titles.fit import fit
from titles.hyperparameters import CnnParams, MlpParams, ModelParams, TrainParams

OWN = {"mlp": MlpParams(1, 8, 4), "cnn": CnnParams(4, 1, 2)}
MODEL = ModelParams("relu", "trained", dropout=0.3, word_dropout=0.2, members=2)
TRAIN = TrainParams(0, 1, 4, 1, 4, 4, 0.02, 0.01, 0.1, False, "balanced_accuracy")


@pytest.fixture
def root(tmp_path):
    """A folder with numbered titles, as embed leaves them."""
    write_numbered(tmp_path, train=60, validation=30)
    return tmp_path


def train(root, name, params=TRAIN, epochs=None):
    """Fits a network that saves after every step; adds the number of every epoch to a list."""
    paths = (root / "embedded", root / "vectors.npy", root / "models" / name)
    with patch.multiple(checkpoint, SECONDS=0.0, SHARE=float("inf")):
        fit(
            name, *paths, MODEL, OWN[name], params, lambda epoch: None if epochs is None else epochs.append(epoch.epoch)
        )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def survives(seconds, function, *arguments):
    """Whether a fork of this process that calls the function comes to its end within that time; else it is killed."""
    child = os.fork()
    if not child:
        function(*arguments)
        os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def killed_while_writing(root, name, module, writer, call):
    """Trains until that call of what writes a file, and dies when half of the bytes are written."""
    calls, write = count(), getattr(module, writer)

    def half(content, target):
        write(content, target)
        if next(calls) == call:
            path = Path(target if writer == "save_file" else target.name)
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, writer, half)
    train(root, name)


def killed(root, name):
    """Compares trainings that were killed, at random points and while they write, with one that was not."""
    # The first training of a process loads for seconds what all forks then have.
    train(root, name)
    expected = contents(root / "models" / name)
    rng, kills = random.Random(name), 0
    while kills < 15:
        while not survives(rng.uniform(0.02, 0.4), train, root, name):
            kills += 1
        assert contents(root / "models" / name) == expected
    for module, writer, call in [(torch, "save", 0), (torch, "save", 20), (checkpoint, "save_file", 1)]:
        assert not survives(60, killed_while_writing, root, name, module, writer, call)
        train(root, name)
        assert contents(root / "models" / name) == expected
    assert list((root / "models" / ".checkpoints" / name).iterdir()) == []


def both_killed(root):
    """In a process of its own, where torch may be forked, as it has no threads yet."""
    for name in OWN:
        killed(root, name)


def test_a_killed_training_that_is_started_again_ends_with_the_bytes_of_one_that_was_not_killed(root):
    process = get_context("spawn").Process(target=both_killed, args=(root,))
    process.start()
    process.join()
    assert process.exitcode == 0


def train_on_two_threads(root):
    """Fits a network wide enough for torch to share its steps out."""
    with patch.dict(OWN, mlp=MlpParams(1, 512, 4)):
        train(root, "mlp", replace(TRAIN, threads=2, batch_size=256))


def killed_on_two_threads(root, seconds):
    """Whether a training, killed so long after it saved for the first time, leaves from where to go on."""
    process = get_context("spawn").Process(target=train_on_two_threads, args=(root,))
    started = time.time()
    process.start()
    while process.is_alive() and not any(
        file.stat().st_mtime > started for file in (root / "models").rglob("checkpoint.pt")
    ):
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    process.join()
    return any((root / "models").rglob("checkpoint.pt"))


def test_a_training_on_two_threads_that_was_killed_ends_with_the_same_bytes(tmp_path):
    write_numbered(tmp_path, train=1500, validation=30)
    train_on_two_threads(tmp_path)
    expected = contents(tmp_path / "models" / "mlp")
    kills = 0
    while kills < 2:
        kills += killed_on_two_threads(tmp_path, seconds=0.05)
    shutil.rmtree(tmp_path / "models" / "mlp")
    train_on_two_threads(tmp_path)
    assert contents(tmp_path / "models" / "mlp") == expected


class StopError(Exception):
    """Raised at an epoch's end."""


def interrupted(root, monkeypatch, epoch):
    """A training that ended in an error at the end of that epoch."""
    saved = []

    def keep(self, weights):
        saved.append(0)
        if len(saved) == epoch:
            raise StopError
        kept(self, weights)

    kept = Checkpoint.keep
    monkeypatch.setattr(Checkpoint, "keep", keep)
    with pytest.raises(StopError):
        train(root, "mlp")
    monkeypatch.setattr(Checkpoint, "keep", kept)


def test_a_training_that_goes_on_reports_the_epochs_before_as_well(root, monkeypatch, caplog):
    caplog.set_level("INFO", logger="titles.training")
    interrupted(root, monkeypatch, epoch=3)
    epochs = []
    train(root, "mlp", epochs=epochs)
    assert epochs == [1, 2, 3, 4]
    assert "goes on in epoch 3, after 60 titles of it" in caplog.messages


def test_another_training_starts_anew_and_removes_what_the_first_one_left(root, monkeypatch, caplog):
    caplog.set_level("INFO", logger="titles.training")
    interrupted(root, monkeypatch, epoch=2)
    train(root, "mlp", replace(TRAIN, learning_rate=0.03))
    assert not any("goes on" in message for message in caplog.messages)
    assert list((root / "models/.checkpoints/mlp").iterdir()) == []


def test_the_fingerprint_depends_on_every_file_setting_and_version(root, monkeypatch):
    files = [root / "embedded" / "pairs.npy", root / "vectors.npy"]
    first = fingerprint(files, "mlp", TRAIN)
    assert fingerprint(files, "mlp", TRAIN) == first
    assert fingerprint(files[::-1], "mlp", TRAIN) == first
    others = [fingerprint(files, "cnn", TRAIN), fingerprint(files, "mlp", replace(TRAIN, threads=2))]
    monkeypatch.setattr(torch, "__version__", "2.99")
    others.append(fingerprint(files, "mlp", TRAIN))
    monkeypatch.undo()
    np.save(files[0], np.array([1, 2 << 32 | 6]))
    others.append(fingerprint(files, "mlp", TRAIN))
    assert len({first, *others}) == 5


def test_the_fingerprint_depends_on_the_code(root, monkeypatch):
    first = fingerprint([], TRAIN)
    changed = root / "networks.py"
    changed.write_text("# another network")
    monkeypatch.setattr("titles.networks.__file__", str(changed))
    assert fingerprint([], TRAIN) != first


def test_where_the_disk_is_full_the_last_checkpoint_stays_and_training_goes_on(tmp_path, monkeypatch, caplog):
    kept = Checkpoint(tmp_path / "checkpoints" / "this")
    kept.save({"step": 1})

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    kept.save({"step": 2})
    monkeypatch.undo()
    assert Checkpoint(tmp_path / "checkpoints" / "this").load() == {"step": 1}
    assert "no checkpoint could be saved (No space left on device), the training goes on" in caplog.messages
    assert [path.name for path in kept.folder.iterdir()] == ["checkpoint.pt"]


def test_the_weights_that_a_checkpoint_speaks_of_stay_until_there_is_another(tmp_path):
    def opened():
        checkpoint = Checkpoint(tmp_path / "checkpoints" / "this")
        checkpoint.load()
        return checkpoint

    first = opened()
    first.keep({"epoch": torch.tensor(1)})
    first.save({})
    for epoch in (2, 3):
        first.keep({"epoch": torch.tensor(epoch)})
    assert first.kept()["epoch"] == 3
    # Killed here, a GPU need not find the second epoch the best again.
    second = opened()
    assert second.kept()["epoch"] == 1
    second.keep({"epoch": torch.tensor(4)})
    assert opened().kept()["epoch"] == 1
    second.save({})
    assert opened().kept()["epoch"] == 4


@pytest.mark.parametrize(
    ("seconds", "first_due", "second_due"),
    [(0.1, 60, 120.1), (1.6, 60, 141.6), (10, 60, 170)],
    ids=[
        "quick: after a minute",
        "slow: when it took a fiftieth of the time",
        "very slow: before two minutes are lost",
    ],
)
def test_a_checkpoint_is_due(tmp_path, monkeypatch, seconds, first_due, second_due):
    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoint, "SECONDS", 60.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0.02)
    monkeypatch.setattr(torch, "save", lambda *_: clock.__setitem__(0, clock[0] + seconds))
    kept, due = Checkpoint(tmp_path / "checkpoints" / "this"), []

    def state():
        due.append(clock[0])
        return {}

    while clock[0] < 200:
        kept.save_when_due(state)
        clock[0] += 0.1
    assert due[:2] == pytest.approx([first_due, second_due], abs=0.2)
