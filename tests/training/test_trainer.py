from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tests.training.toy import MODEL, NETWORKS, PARAMS, SUBWORD_IDS, TRAINING, WORDS, labelled, run
from titles.nn.hparams import MlpParams
from titles.nn.networks import MLP
from titles.nn.word_embedding import Sizes
from titles.training import trainer
from titles.training.checkpoint import Checkpoint
from titles.training.train_step import set_determinism
from titles.training.trainer import train

both_networks = pytest.mark.parametrize("name", NETWORKS)


@both_networks
def test_a_network_learns_separable_categories(tmp_path, name):
    history, _, _ = run(tmp_path, name=name, epochs=24, patience=24)
    assert [history[-1].validation_accuracy, history[-1].validation_balanced_accuracy] == [1.0, 1.0]
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].validation_loss < history[0].validation_loss


@both_networks
def test_frozen_embeddings_do_not_change_and_all_other_weights_are_trained(tmp_path, name):
    snapshots = []
    run(
        tmp_path,
        name=name,
        model=replace(MODEL, embeddings="frozen"),
        epochs=2,
        on_epoch=lambda _, network: snapshots.append({path: w.clone() for path, w in network.state_dict().items()}),
    )
    first, second = snapshots
    unchanged = {path for path in first if torch.equal(first[path], second[path])}
    embeddings = {"word_vectors.own.weight", "word_vectors.subwords.weight"}
    bigrams = {"pair_vectors.table.weight", "pair_vectors.keys"} if name == "mlp" else set()
    assert unchanged == embeddings | bigrams | {"temperature", "calibration_bias"}


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


def patch_validation(monkeypatch, *scores):
    """Patch validation to return these balanced accuracies in turn, each with a standard error of 0.01."""
    balanced_accuracies = iter(scores)
    monkeypatch.setattr(trainer, "validate", lambda *_: (0.0, 0.0, next(balanced_accuracies), 0.01))


def test_training_stops_early_after_patience_epochs_without_improvement(tmp_path, monkeypatch):
    patch_validation(monkeypatch, 0.7, 0.9, 0.6, 0.8, 0.7)
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
    assert train(network, TRAINING, validation, SUBWORD_IDS, params, checkpoint, lambda _: None)[1] == expected


@pytest.mark.parametrize(("min_steps", "expected"), [(1, 3), (16, 6)])
def test_patience_grows_with_the_epochs_that_min_steps_adds(tmp_path, monkeypatch, min_steps, expected):
    patch_validation(monkeypatch, 0.9, *[0.1] * 15)
    # An epoch is one step, so that 16 steps are twice the 8 epochs.
    history, _, _ = run(tmp_path, epochs=8, patience=2, min_steps=min_steps, batch_size=len(TRAINING))
    assert history[-1].epoch == expected


def test_training_continues_to_the_last_epoch_within_patience(tmp_path):
    history, _, _ = run(tmp_path, validation=labelled([[0]], [3]), epochs=4, patience=4)
    assert [epoch.epoch for epoch in history] == [1, 2, 3, 4]


def test_the_final_weights_are_those_of_the_best_epoch(tmp_path, monkeypatch):
    patch_validation(monkeypatch, 0.7, 0.9, 0.6, 0.8, 0.7)
    snapshots = []
    _, weights, _ = run(
        tmp_path,
        patience=3,
        epochs=20,
        on_epoch=lambda _, network: snapshots.append({name: w.clone() for name, w in network.state_dict().items()}),
    )
    final = load_file(weights)
    assert all(torch.equal(final[name], weight) for name, weight in snapshots[1].items())
    assert not torch.equal(final["output.weight"], snapshots[-1]["output.weight"])


def test_dropout_is_on_again_after_validation(tmp_path):
    modes = []

    def register_hook(epoch, network):
        if epoch.epoch == 1:
            network.word_vectors.register_forward_hook(lambda module, *_: modes.append(module.training))

    run(tmp_path, epochs=2, on_epoch=register_hook)
    # The second epoch's batches, and its validation.
    assert modes == [True] * 4 + [False]


def test_every_epoch_uses_every_title_once_in_a_different_order(tmp_path):
    first_words = []

    def register_hook(epoch, network):
        def record(module, inputs):
            if module.training:
                first_words.extend(inputs[0].bags.indices.reshape(-1, 2)[:, 0].tolist())

        if epoch.epoch == 1:
            network.word_vectors.register_forward_pre_hook(record)

    run(tmp_path, epochs=3, on_epoch=register_hook)
    second, third = first_words[: len(TRAINING)], first_words[len(TRAINING) :]
    assert sorted(second) == sorted(third) == sorted([*range(9)] * 3)
    assert second != third


@pytest.mark.parametrize("changes", [{"weight_decay": 0.1}, {"label_smoothing": 0.1}, {"batch_size": 9}])
def test_every_setting_of_the_loop_has_an_effect(tmp_path, changes):
    _, plain, _ = run(tmp_path / "plain", epochs=1)
    _, changed, _ = run(tmp_path / "changed", epochs=1, **changes)
    assert plain.read_bytes() != changed.read_bytes()


def test_determinism_sets_threads_and_algorithms():
    set_determinism(replace(PARAMS, threads=3), torch.device("cpu"))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (3, True)


def test_the_learning_rate_falls_linearly_to_zero(tmp_path):
    history, _, _ = run(tmp_path, epochs=4, patience=4, learning_rate=0.08)
    assert [epoch.learning_rate for epoch in history] == pytest.approx([0.08, 0.06, 0.04, 0.02])


def test_min_steps_adds_epochs(tmp_path):
    # The 27 titles make 4 batches.
    seen = []
    history, _, _ = run(tmp_path, epochs=3, min_steps=13, on_epoch=lambda epoch, _: seen.append(epoch.epoch))
    assert [epoch.learning_rate for epoch in history] == pytest.approx([0.05, 0.0375, 0.025, 0.0125])
    assert seen == [1, 2, 3, 4]


def test_the_number_of_validated_epochs_stays_close_to_the_requested_epochs(tmp_path):
    history, _, _ = run(tmp_path, epochs=2, min_steps=20)
    # Five epochs of four batches. Every second one is validated, and the last one.
    assert [epoch.epoch for epoch in history] == [2, 4, 5]
    assert history[-1].learning_rate == pytest.approx(0.05 / 5)


def test_every_epoch_is_reported_as_it_ends(tmp_path):
    reported = []
    history, _, _ = run(tmp_path, epochs=3, on_epoch=lambda epoch, _: reported.append(epoch))
    assert reported == history
