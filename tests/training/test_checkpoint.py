import logging
import os
import random
import re
import shutil
import signal
import sys
from dataclasses import replace
from itertools import count
from logging.handlers import BufferingHandler
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from tests.numbered import write_numbered
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.training import checkpoint
from titles.training.checkpoint import Checkpoint
from titles.training.fit import fit
from titles.training.train_step import TrainStep

NETWORK_PARAMS = {"mlp": MlpParams(1, 8, 4), "cnn": CnnParams(4, 1, 2)}
MODEL = ModelParams("relu", "trained", dropout=0.3, word_dropout=0.2, ensemble_size=2)
TRAIN = TrainParams(0, 1, 4, 1, 4, 4, 0.02, 0.01, 0.1, False, "balanced_accuracy")


@pytest.fixture
def root(tmp_path):
    """A folder with numbered titles, as embed leaves them."""
    write_numbered(tmp_path, train=60, validation=30)
    return tmp_path


def train(root, name, params=TRAIN, epochs=None):
    """Fits a network that saves after every step; adds the number of every epoch to a list."""
    paths = (root / "embedded", root / "vectors.npy", root / "models" / name)
    with patch.multiple(checkpoint, MIN_INTERVAL_SECONDS=0.0, MAX_TIME_SHARE=float("inf")):
        fit(
            name,
            *paths,
            MODEL,
            NETWORK_PARAMS[name],
            params,
            lambda epoch: None if epochs is None else epochs.append(epoch.epoch),
        )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def calls_of(function, *arguments):
    """The number of function calls and returns that the main thread takes for it."""
    counted = count(1)
    sys.setprofile(lambda *_: next(counted))
    function(*arguments)
    sys.setprofile(None)
    return next(counted)


def survives(calls, function, *arguments):
    """Whether a fork of this process ends before its main thread comes to that call, at which it kills itself."""
    child = os.fork()
    if not child:
        counted = count(1)
        sys.setprofile(lambda *_: next(counted) == calls and os.kill(os.getpid(), signal.SIGKILL))
        function(*arguments)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return not status


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


def messages_of(function, *arguments):
    """What the trainer logs meanwhile; pytest's `caplog` does not reach into a process of its own."""
    handler, logger = BufferingHandler(1000), logging.getLogger("titles.training.trainer")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    function(*arguments)
    logger.removeHandler(handler)
    return [record.getMessage() for record in handler.buffer]


def killed(root, name):
    """Compares trainings that were killed, at random calls and while they write, with one that was not."""
    # The first training of a process also loads what all forks then have.
    train(root, name)
    expected = contents(root / "models" / name)
    rng, kills, calls = random.Random(name), 0, calls_of(train, root, name)
    while kills < 5:
        while not survives(rng.randrange(1, calls), train, root, name):
            kills += 1
        assert contents(root / "models" / name) == expected
    for module, writer, call, resumes in [
        (torch, "save", 0, False),
        (torch, "save", 20, True),
        (checkpoint, "save_file", 1, True),
    ]:
        assert not survives(None, killed_while_writing, root, name, module, writer, call)
        messages = messages_of(train, root, name)
        assert any(message.startswith("resuming in epoch") for message in messages) == resumes
        assert contents(root / "models" / name) == expected
    assert list((root / "models" / ".checkpoints" / name).iterdir()) == []


def both_killed(root):
    """In a process of its own, where torch may be forked, as it has no threads yet."""
    for name in NETWORK_PARAMS:
        killed(root, name)


def test_a_killed_training_that_is_started_again_ends_with_the_bytes_of_one_that_was_not_killed(root):
    process = get_context("spawn").Process(target=both_killed, args=(root,))
    process.start()
    process.join()
    assert process.exitcode == 0


def train_on_two_threads(root, steps=None):
    """Fits a network wide enough for torch to share its steps out; dies after that many steps, before it saves."""
    counted, step = count(1), TrainStep.__call__

    def dying(self, *arguments):
        loss = step(self, *arguments)
        if next(counted) == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    with patch.dict(NETWORK_PARAMS, mlp=MlpParams(1, 512, 4)), patch.object(TrainStep, "__call__", dying):
        train(root, "mlp", replace(TRAIN, threads=2, batch_size=256))


def test_a_training_on_two_threads_that_was_killed_ends_with_the_same_bytes(tmp_path, caplog):
    write_numbered(tmp_path, train=1500, validation=30)
    train_on_two_threads(tmp_path)
    expected = contents(tmp_path / "models" / "mlp")
    # An epoch takes six steps.
    for steps in (4, 7):
        process = get_context("spawn").Process(target=train_on_two_threads, args=(tmp_path, steps))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    shutil.rmtree(tmp_path / "models" / "mlp")
    caplog.set_level("INFO", logger="titles.training.trainer")
    train_on_two_threads(tmp_path)
    # Three steps were saved by the first, and six more by the second.
    assert "resuming in epoch 2, after 768 titles of it" in caplog.messages
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

    kept = Checkpoint.save_best
    monkeypatch.setattr(Checkpoint, "save_best", keep)
    with pytest.raises(StopError):
        train(root, "mlp")
    monkeypatch.setattr(Checkpoint, "save_best", kept)


def test_a_training_that_goes_on_reports_the_epochs_before_as_well(root, monkeypatch, caplog):
    caplog.set_level("INFO", logger="titles.training.trainer")
    interrupted(root, monkeypatch, epoch=3)
    epochs = []
    train(root, "mlp", epochs=epochs)
    assert epochs == [1, 2, 3, 4]
    assert "resuming in epoch 3, after 60 titles of it" in caplog.messages


def test_another_training_in_between_costs_a_killed_one_nothing(root, monkeypatch, caplog):
    caplog.set_level("INFO", logger="titles")
    interrupted(root, monkeypatch, epoch=2)
    train(root, "mlp", replace(TRAIN, learning_rate=0.03, epochs=1))
    assert not any("resuming" in message for message in caplog.messages)
    assert (
        f"{root}/models/.checkpoints/mlp has no checkpoint of this training, and 1 of others; the newest differs in "
        "train.epochs, train.learning_rate" in caplog.messages
    )
    train(root, "mlp")
    assert "resuming in epoch 2, after 60 titles of it" in caplog.messages
    assert list((root / "models/.checkpoints/mlp").iterdir()) == []


def saved(folder, seconds, **description):
    """The checkpoint of the training with that description, last saved at that time."""
    kept = Checkpoint.for_training(folder, description)
    kept.save({})
    os.utime(kept.file, (seconds, seconds))
    return kept.folder


def test_the_newest_checkpoints_of_other_trainings_are_kept(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles")
    second, _oldest, third, fourth = (saved(tmp_path, seconds, epochs=str(seconds)) for seconds in (20, 10, 30, 40))
    own = saved(tmp_path, 50, epochs="50")
    assert set(tmp_path.iterdir()) == {second, third, fourth, own}
    (removed,) = [message for message in caplog.messages if message.startswith("removed")]
    assert re.fullmatch(
        r"removed the checkpoint of another training \(of 1970-01-01 [\d:]{5}, 0\.0 GB, which differs in epochs\), "
        r"as only the newest 3 in at most 10 GB are kept",
        removed,
    )


def test_checkpoints_of_other_trainings_are_kept_up_to_a_size(tmp_path, monkeypatch):
    old, new = (saved(tmp_path, seconds, epochs=str(seconds)) for seconds in (10, 20))
    (old / "best.0.safetensors").write_bytes(bytes(6000))
    (new / "best.0.safetensors").write_bytes(bytes(6000))
    monkeypatch.setattr(checkpoint, "MAX_OTHER_BYTES", 10_000)
    own = saved(tmp_path, 30, epochs="30")
    assert set(tmp_path.iterdir()) == {new, own}
    monkeypatch.setattr(checkpoint, "MAX_OTHER_BYTES", 1)
    last = saved(tmp_path, 40, epochs="40")
    assert set(tmp_path.iterdir()) == {own, last}


def test_trainings_that_were_killed_before_they_saved_take_no_place(tmp_path):
    first = saved(tmp_path, 10, epochs="10")
    for seconds in range(20, 25):
        Checkpoint.for_training(tmp_path, {"epochs": str(seconds)})
    assert first.exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_checkpoint_of_an_older_version_is_kept_like_any_other(tmp_path, caplog):
    caplog.set_level("INFO", logger="titles")
    older = saved(tmp_path, 10, epochs="10")
    (older / "training.json").unlink()
    saved(tmp_path, 20, epochs="20")
    assert older.exists()
    assert caplog.messages[-1].endswith("the newest differs in the version of titles")


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
    assert "no checkpoint could be saved (No space left on device), training continues" in caplog.messages
    assert [path.name for path in kept.folder.iterdir()] == ["checkpoint.pt"]


def test_the_weights_that_a_checkpoint_speaks_of_stay_until_there_is_another(tmp_path):
    def opened():
        checkpoint = Checkpoint(tmp_path / "checkpoints" / "this")
        checkpoint.load()
        return checkpoint

    first = opened()
    first.save_best({"epoch": torch.tensor(1)})
    first.save({})
    for epoch in (2, 3):
        first.save_best({"epoch": torch.tensor(epoch)})
    assert first.load_best()["epoch"] == 3
    # Killed here, a GPU need not find the second epoch the best again.
    second = opened()
    assert second.load_best()["epoch"] == 1
    second.save_best({"epoch": torch.tensor(4)})
    assert opened().load_best()["epoch"] == 1
    second.save({})
    assert opened().load_best()["epoch"] == 4


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
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL_SECONDS", 60.0)
    monkeypatch.setattr(checkpoint, "MAX_TIME_SHARE", 0.02)
    monkeypatch.setattr(torch, "save", lambda *_: clock.__setitem__(0, clock[0] + seconds))
    kept, due = Checkpoint(tmp_path / "checkpoints" / "this"), []

    def state():
        due.append(clock[0])
        return {}

    while clock[0] < 200:
        kept.save_when_due(state)
        clock[0] += 0.1
    assert due[:2] == pytest.approx([first_due, second_due], abs=0.2)
