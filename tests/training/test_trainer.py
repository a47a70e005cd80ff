import math
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.metrics.classification import recall_per_category, smoothed_standard_error
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.nn.networks import CNN, MLP, predict
from titles.nn.word_embedding import Sizes
from titles.training import trainer
from titles.training.checkpoint import Checkpoint
from titles.training.train_step import set_determinism
from titles.training.trainer import train

PARAMS = TrainParams(
    seed=2,
    threads=1,
    epochs=8,
    min_steps=1,
    patience=8,
    batch_size=8,
    learning_rate=0.05,
    weight_decay=0.0,
    label_smoothing=0.0,
    drop_suspect_labels=False,
    objective="accuracy",
)
NETWORKS = {"mlp": (MLP, MlpParams(1, 8, 4)), "cnn": (CNN, CnnParams(8, 1, 2))}
MODEL = ModelParams("relu", "trained", dropout=0.1, word_dropout=0.1, ensemble_size=2)
WORDS = 10

both_networks = pytest.mark.parametrize("name", NETWORKS)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


def labelled(titles, labels):
    return LabelledDataset(ragged(titles), np.array(labels, np.int32), np.zeros(len(labels), bool))


# Each word is its own subword. Words 0-2 tell category 0, 3-5 category 1, 6-8 category 2; word 9 tells nothing.
SPELLING = ragged([[word] for word in range(WORDS)])
TRAINING = labelled([[word, 9] for word in range(9)] * 3, [word // 3 for word in range(9)] * 3)
VALIDATION = labelled([[0, 1], [9, 2], [3, 4, 9], [5], [6, 8, 9], [7, 8]], [0, 0, 1, 1, 2, 2])


def run(folder, training=TRAINING, validation=VALIDATION, name="mlp", model=MODEL, on_epoch=None, **params):
    """Trains a network of that name; gives its history, its file of weights, and itself."""
    params = replace(PARAMS, **params)
    set_determinism(params, torch.device("cpu"))
    kind, own = NETWORKS[name]
    network = kind(Sizes(WORDS, WORDS, 1, 4, int(training.labels.max()) + 1), model, own)
    checkpoint = Checkpoint(folder / "checkpoints" / "this")
    history, _ = train(
        network, training, validation, SPELLING, params, checkpoint, lambda e: on_epoch and on_epoch(e, network)
    )
    weights = folder / "weights.safetensors"
    save_file(network.state_dict(), weights)
    return history, weights, network


def predicted(network, titles):
    return torch.cat(list(predict(network, titles, SPELLING))).argmax(1).numpy()


@both_networks
def test_a_network_learns_what_can_be_told_apart(tmp_path, name):
    history, _, _ = run(tmp_path, name=name, epochs=24, patience=24)
    assert [history[-1].validation_accuracy, history[-1].validation_balanced_accuracy] == [1.0, 1.0]
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].validation_loss < history[0].validation_loss


@both_networks
def test_frozen_embeddings_stay_as_they_were_and_all_else_is_trained(tmp_path, name):
    at_each_epoch = []
    run(
        tmp_path,
        name=name,
        model=replace(MODEL, embeddings="frozen"),
        epochs=2,
        on_epoch=lambda _, network: at_each_epoch.append({path: w.clone() for path, w in network.state_dict().items()}),
    )
    first, second = at_each_epoch
    unchanged = {path for path in first if torch.equal(first[path], second[path])}
    tables = {"word_vectors.own.weight", "word_vectors.subwords.weight"}
    of_pairs = {"pair_vectors.table.weight", "pair_vectors.keys"} if name == "mlp" else set()
    assert unchanged == tables | of_pairs | {"temperature", "calibration_bias"}


@both_networks
@pytest.mark.parametrize("embeddings", ["frozen", "trained"])
@pytest.mark.parametrize("title", [[0], []], ids=["one word", "no words"])
def test_titles_of_a_single_word_or_none_can_be_trained_on(tmp_path, name, embeddings, title):
    titles = labelled([title] * 20, [0] * 15 + [1] * 5)
    history, weights, _ = run(tmp_path, titles, titles, name, replace(MODEL, embeddings=embeddings))
    assert all(weight.isfinite().all() for weight in load_file(weights).values())
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].validation_accuracy == 0.75


@both_networks
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, name):
    runs = [run(tmp_path / folder, name=name, epochs=2, seed=seed) for folder, seed in [("a", 1), ("b", 1), ("c", 2)]]
    (first, first_weights, _), (again, again_weights, _), (other, other_weights, _) = runs
    assert (again, again_weights.read_bytes()) == (first, first_weights.read_bytes())
    assert other != first and other_weights.read_bytes() != first_weights.read_bytes()


def scored(monkeypatch, *scores):
    """Lets validation find these balanced accuracies, one after another, each with a standard error of 0.01."""
    found = iter(scores)
    monkeypatch.setattr(trainer, "validate", lambda *_: (0.0, 0.0, next(found), 0.01))


def test_training_stops_when_validation_was_worse_than_the_best_for_patience_epochs(tmp_path, monkeypatch):
    scored(monkeypatch, 0.7, 0.9, 0.6, 0.8, 0.7)
    history, _, _ = run(tmp_path, epochs=20, patience=3)
    assert len(history) == 5


@pytest.mark.parametrize(("error", "expected"), [(0.05, 3), (0.005, 2)])
def test_the_best_epoch_is_the_last_within_a_standard_error_of_the_highest(tmp_path, monkeypatch, error, expected):
    scores = iter([0.6, 0.7, 0.67, 0.5])
    monkeypatch.setattr(trainer, "validate", lambda *_: (0.0, 0.0, next(scores), error))
    network = MLP(Sizes(WORDS, WORDS, 1, 4, 3), MODEL, MlpParams(1, 8, 4))
    validation = labelled([[0]], [0])
    params = replace(PARAMS, epochs=4)
    checkpoint = Checkpoint(tmp_path / "checkpoints" / "this")
    assert train(network, TRAINING, validation, SPELLING, params, checkpoint, lambda _: None)[1] == expected


@pytest.mark.parametrize(("min_steps", "expected"), [(1, 3), (16, 6)])
def test_patience_grows_with_the_epochs_that_min_steps_adds(tmp_path, monkeypatch, min_steps, expected):
    scored(monkeypatch, 0.9, *[0.1] * 15)
    # An epoch is one step, so that 16 steps are twice the 8 epochs.
    history, _, _ = run(tmp_path, epochs=8, patience=2, min_steps=min_steps, batch_size=len(TRAINING))
    assert history[-1].epoch == expected


def test_training_goes_on_to_the_last_epoch_within_patience(tmp_path):
    history, _, _ = run(tmp_path, validation=labelled([[0]], [3]), epochs=4, patience=4)
    assert [epoch.epoch for epoch in history] == [1, 2, 3, 4]


def test_the_kept_weights_are_those_of_the_best_epoch(tmp_path, monkeypatch):
    scored(monkeypatch, 0.7, 0.9, 0.6, 0.8, 0.7)
    snapshots = []
    _, weights, _ = run(
        tmp_path,
        patience=3,
        epochs=20,
        on_epoch=lambda _, network: snapshots.append({name: w.clone() for name, w in network.state_dict().items()}),
    )
    kept = load_file(weights)
    assert all(torch.equal(kept[name], weight) for name, weight in snapshots[1].items())
    assert not torch.equal(kept["output.weight"], snapshots[-1]["output.weight"])


def test_logit_adjustment_finds_the_rare_category_where_titles_could_be_either(tmp_path):
    # Word 1 stands in 20 of 100 titles of the frequent category and in 10 of 12 of the rare one.
    titles = [[0]] * 80 + [[1]] * 20 + [[0]] * 2 + [[1]] * 10
    ambiguous = labelled(titles, [0] * 100 + [1] * 12)
    plain = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=1)
    _, _, network = run(tmp_path, ambiguous, ambiguous, model=plain, epochs=20, patience=20, batch_size=28)
    found = recall_per_category(ambiguous.labels, predicted(network, ambiguous.titles), 2)
    np.testing.assert_allclose(found, [80 / 100, 10 / 12])


@pytest.mark.parametrize(("objective", "expected"), [("accuracy", 100 / 112), ("balanced_accuracy", 90 / 112)])
def test_validation_decides_for_the_objective(tmp_path, objective, expected):
    # Word 1 stands in 20 of 100 titles of the frequent category and in 10 of 12 of the rare one.
    titles = [[0]] * 80 + [[1]] * 20 + [[0]] * 2 + [[1]] * 10
    ambiguous = labelled(titles, [0] * 100 + [1] * 12)
    plain = ModelParams("tanh", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=1)
    history, *_ = run(
        tmp_path, ambiguous, ambiguous, model=plain, objective=objective, epochs=20, patience=20, batch_size=28
    )
    assert history[-1].validation_accuracy == pytest.approx(expected, abs=1e-6)


def test_validation_measures_the_standard_error_of_balanced_accuracy_and_not_of_accuracy(tmp_path):
    titles = [[0]] * 80 + [[1]] * 20 + [[0]] * 2 + [[1]] * 10
    ambiguous = labelled(titles, [0] * 100 + [1] * 12)
    history, _, network = run(tmp_path, ambiguous, ambiguous, objective="balanced_accuracy", epochs=1)
    found = predicted(network, ambiguous.titles)
    expected = smoothed_standard_error(ambiguous.labels, found)
    assert history[-1].validation_standard_error == pytest.approx(expected, abs=1e-6)
    accuracy = (found == ambiguous.labels).mean()
    # Few titles of the rare category make balanced accuracy the less certain of the two.
    assert expected > 1.3 * np.sqrt(accuracy * (1 - accuracy) / len(found))


def test_validation_titles_of_untrained_categories_count_zero_and_have_no_loss(tmp_path):
    with_untrained = labelled([[0, 1], [3, 4], [6, 7], [2], [5]], [0, 1, 2, 3, 7])
    without = labelled([[0, 1], [3, 4], [6, 7]], [0, 1, 2])
    last = run(tmp_path, validation=with_untrained, epochs=20)[0][-1]
    assert (last.validation_accuracy, last.validation_balanced_accuracy) == (0.6, 0.6)
    assert last.validation_loss == pytest.approx(
        run(tmp_path, validation=without, epochs=20)[0][-1].validation_loss, abs=2e-6
    )


def test_validation_titles_of_untrained_categories_alone_have_no_loss_and_not_one_of_zero(tmp_path):
    history, *_ = run(tmp_path, validation=labelled([[0], [3]], [3, 4]), epochs=2)
    assert [math.isnan(epoch.validation_loss) for epoch in history] == [True, True]
    assert [epoch.validation_balanced_accuracy for epoch in history] == [0, 0]


def test_validation_does_not_depend_on_how_many_batches_it_takes(tmp_path):
    often = labelled([[0]] * 700 + [[3]] * 700 + [[6]] * 700, [0] * 700 + [1] * 700 + [2] * 700)
    once = labelled([[0], [3], [6]], [0, 1, 2])
    found, expected = (run(tmp_path, validation=validation, epochs=3)[0][-1] for validation in (often, once))
    assert found.validation_loss == pytest.approx(expected.validation_loss, abs=2e-6)
    assert found.validation_balanced_accuracy == expected.validation_balanced_accuracy


def test_dropout_is_on_again_after_validation(tmp_path):
    modes = []

    def watch(epoch, network):
        if epoch.epoch == 1:
            network.word_vectors.register_forward_hook(lambda module, *_: modes.append(module.training))

    run(tmp_path, epochs=2, on_epoch=watch)
    # The second epoch's batches, and its validation.
    assert modes == [True] * 4 + [False]


def test_every_epoch_takes_every_title_once_and_in_another_order(tmp_path):
    taken = []

    def watch(epoch, network):
        def note(module, inputs):
            if module.training:
                taken.extend(inputs[0].bags.indices.reshape(-1, 2)[:, 0].tolist())

        if epoch.epoch == 1:
            network.word_vectors.register_forward_pre_hook(note)

    run(tmp_path, epochs=3, on_epoch=watch)
    second, third = taken[: len(TRAINING)], taken[len(TRAINING) :]
    assert sorted(second) == sorted(third) == sorted([*range(9)] * 3)
    assert second != third


@pytest.mark.parametrize("changes", [{"weight_decay": 0.1}, {"label_smoothing": 0.1}, {"batch_size": 9}])
def test_every_setting_of_the_loop_has_its_effect(tmp_path, changes):
    _, plain, _ = run(tmp_path / "plain", epochs=1)
    _, changed, _ = run(tmp_path / "changed", epochs=1, **changes)
    assert plain.read_bytes() != changed.read_bytes()


def test_determinism_sets_threads_and_algorithms():
    set_determinism(replace(PARAMS, threads=3), torch.device("cpu"))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (3, True)


def test_the_learning_rate_falls_in_a_line_to_nothing(tmp_path):
    history, _, _ = run(tmp_path, epochs=4, patience=4, learning_rate=0.08)
    assert [epoch.learning_rate for epoch in history] == pytest.approx([0.08, 0.06, 0.04, 0.02])


def test_few_titles_are_seen_in_more_epochs_until_there_are_steps_enough(tmp_path):
    # The 27 titles make 4 batches.
    seen = []
    history, _, _ = run(tmp_path, epochs=3, min_steps=13, on_epoch=lambda epoch, _: seen.append(epoch.epoch))
    assert [epoch.learning_rate for epoch in history] == pytest.approx([0.05, 0.0375, 0.025, 0.0125])
    assert seen == [1, 2, 3, 4]


def test_of_many_short_epochs_as_many_are_measured_as_were_asked_for(tmp_path):
    history, _, _ = run(tmp_path, epochs=2, min_steps=20)
    # Five epochs of four batches, of which two are measured and the last one.
    assert [epoch.epoch for epoch in history] == [2, 4, 5]
    assert history[-1].learning_rate == pytest.approx(0.05 / 5)


def test_every_epoch_is_reported_as_it_ends(tmp_path):
    reported = []
    history, _, _ = run(tmp_path, epochs=3, on_epoch=lambda epoch, _: reported.append(epoch))
    assert reported == history
