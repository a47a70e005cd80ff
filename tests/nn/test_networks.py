from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from titles.data.batch import WordBatch
from titles.data.ragged import Ragged
from titles.nn.hparams import ACTIVATIONS, CnnParams, MlpParams, ModelParams
from titles.nn.networks import CNN, LENGTH_POWER, MLP, predict
from titles.nn.word_embedding import BigramVectors, Sizes, WordVectors

SIZES = Sizes(vocabulary=5, buckets=10, bigrams=2, dimension=6, categories=4)
MEMBERS = 2
# The bigrams (1, 2) and (3, 0).
BIGRAMS = [1 << 32 | 2, 3 << 32]
NETWORKS = {"mlp": (MLP, MlpParams(2, 7, 4)), "cnn": (CNN, CnnParams(5, 1, 3))}
TITLES = [[0, 1, 2, 3, 4, 0], [], [7], [4, 6], [1, 5, 7, 1]]
TITLE = st.lists(st.integers(0, 7), max_size=6)

both_networks = pytest.mark.parametrize("name", NETWORKS)


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


# Words 5 to 7 are outside the vocabulary, and word 7 has no subwords.
SUBWORD_IDS = ragged([[0, 1], [2], [3, 4, 5], [1], [], [6, 0], [9], []])


def words_of(titles, subword_ids=SUBWORD_IDS, vocabulary=SIZES.vocabulary):
    titles = ragged(titles)
    return WordBatch.from_ids(titles.values, titles.offsets, subword_ids, vocabulary)


def model_params(activation="relu", embeddings="trained", dropout=0.0, word_dropout=0.0, members=MEMBERS):
    return ModelParams(activation, embeddings, dropout, word_dropout, members)


def build(name, **params):
    """A network with word vectors, statistics and biases so large that any error shows in the logits."""
    torch.manual_seed(0)
    network_class, network_params = NETWORKS[name]
    network = network_class(SIZES, model_params(**params), network_params)
    for path, weight in network.named_parameters():
        if "word_vectors" in path or "bias" in path:
            weight.data.normal_()
        if "pair_vectors" in path:
            weight.data.normal_()
    if name == "mlp":
        network.pair_vectors.keys.copy_(torch.tensor(BIGRAMS))
    network.word_vectors.normalise.running_mean.normal_()
    network.word_vectors.normalise.running_var.uniform_(0.5, 2)
    return network


class IdentityNorm(nn.Module):
    def forward(self, vectors, *_):
        return vectors


def without_normalisation(vectors):
    vectors.normalise = IdentityNorm()
    return vectors


def statistics(network):
    return [buffer.clone() for buffer in network.word_vectors.normalise.buffers()]


def all_equal(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def logits(network, titles, batch_size=1024):
    return torch.cat(list(predict(network, ragged(titles), SUBWORD_IDS, batch_size)))


def test_a_batch_has_words_and_windows_and_for_the_mlp_bigrams_with_a_vector():
    titles = ragged([[3, 0, 3], [], [6]])
    mlp, cnn = (build(name).batch(titles, SUBWORD_IDS) for name in ("mlp", "cnn"))
    assert mlp.words.bags.rows.tolist() == cnn.words.bags.rows.tolist() == [0, 3, 6]
    assert (mlp.bigrams.indices.tolist(), mlp.bigrams.offsets.tolist()) == ([1], [0, 1, 1, 1])
    assert mlp.words.bags.offsets.tolist() == cnn.words.bags.offsets.tolist() == [0, 1, 2, 3, 4]
    assert [windows.offsets.diff().tolist() for windows in mlp.windows] == [[3, 0, 1]]
    assert [windows.offsets.diff().tolist() for windows in cnn.windows] == [[3, 0, 1], [4, 0, 2], [5, 0, 3]]
    assert cnn.windows[0].words.tolist() == [[1], [0], [1], [2]]


def test_a_word_vector_is_the_own_vector_if_any_plus_the_subword_sum_over_the_root_of_their_number():
    vectors = without_normalisation(build("mlp").word_vectors)
    own, subwords = vectors.own.weight, vectors.subwords.weight
    expected = [
        own[0] + subwords[:2].sum(0) / 2**0.5,
        own[4],
        subwords[[6, 0]].sum(0) / 2**0.5,
        torch.zeros(SIZES.dimension),
    ]
    torch.testing.assert_close(vectors(words_of([[0, 4, 5, 7]])), torch.stack(expected))


def test_training_normalises_by_batch_statistics_and_evaluation_by_running_statistics():
    vectors, plain = build("mlp").word_vectors, without_normalisation(build("mlp").word_vectors)
    batch = words_of([[0, 4, 0, 0], [5], [7, 5]])
    normalise, words = vectors.normalise, plain(batch)
    assert len(words) == 4
    means, variances, _ = statistics(build("mlp"))

    def normalised(mean, variance):
        return (words - mean) / (variance + normalise.eps).sqrt() * normalise.weight + normalise.bias

    torch.testing.assert_close(vectors.train()(batch), normalised(words.mean(0), words.var(0, correction=0)))
    expected = [0.9 * means + 0.1 * words.mean(0), 0.9 * variances + 0.1 * words.var(0)]
    torch.testing.assert_close([normalise.running_mean, normalise.running_var], expected)
    torch.testing.assert_close(vectors.eval()(batch), normalised(*expected))


@both_networks
def test_precomputed_word_vectors_give_the_same_logits_without_the_subwords_of_vocabulary_words(name):
    network, precomputed = build(name).eval(), build(name)
    precomputed.word_vectors.precompute(SUBWORD_IDS)
    assert torch.equal(logits(precomputed, TITLES), logits(network, TITLES))
    rows = [[]] * SIZES.vocabulary + [[6, 0], [9], []]
    actual = torch.cat(list(predict(precomputed, ragged(TITLES), ragged(rows))))
    assert torch.equal(actual, logits(network, TITLES))


@both_networks
def test_evaluation_does_not_change_the_running_statistics_and_training_does(name):
    network = build(name).train()
    before = statistics(network)
    logits(network, TITLES, batch_size=2)
    assert all_equal(statistics(network), before)
    network.train()(network.batch(ragged(TITLES), SUBWORD_IDS))
    assert not any(torch.equal(now, then) for now, then in zip(statistics(network), before, strict=True))


@both_networks
@pytest.mark.parametrize(
    "titles", [[[3], [3, 3]], [[7]], [[], []]], ids=["one word", "one word outside the vocabulary", "no words"]
)
def test_a_batch_without_two_distinct_words_is_normalised_by_the_running_statistics(name, titles):
    network = build(name).train()
    before = statistics(network)
    batch, ordinary = (network.batch(ragged(rows), SUBWORD_IDS) for rows in (titles, TITLES))
    member_logits = network(batch)
    assert member_logits.isfinite().all()
    ensemble_logits = member_logits.log_softmax(2).logsumexp(0)
    torch.testing.assert_close(ensemble_logits, network.eval()(batch))
    network.train()(batch).logsumexp(2).sum().backward()
    gradients = [weight.grad for weight in network.parameters()]
    assert all(gradient.to_dense().isfinite().all() for gradient in gradients)
    assert network.output.bias.grad.any()
    assert all_equal(statistics(network), before)
    network(ordinary)
    assert not torch.equal(network.word_vectors.normalise.running_mean, before[0])


@both_networks
def test_every_title_has_a_logit_for_every_category(name):
    assert logits(build(name), TITLES).shape == (len(TITLES), SIZES.categories)


@both_networks
@settings(deadline=None, max_examples=40)
@given(titles=st.lists(TITLE, min_size=1, max_size=6))
@example(titles=TITLES)
@example(titles=[[0], [1], [2], [3], [4], [5], [0, 1, 2, 3, 4, 5]])
def test_the_logits_of_a_title_do_not_depend_on_the_batch_it_is_in(name, titles):
    network = build(name)
    alone = torch.cat([logits(network, [title]) for title in titles])
    torch.testing.assert_close(logits(network, titles), alone, rtol=1e-5, atol=1e-5)


@both_networks
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_predict_keeps_the_order_of_titles_at_any_batch_size(name, batch_size):
    network = build(name)
    torch.testing.assert_close(logits(network, TITLES, batch_size), logits(network, TITLES), rtol=1e-5, atol=1e-5)


@both_networks
def test_predict_turns_dropout_off_and_is_repeatable(name):
    network = build(name, dropout=0.9, word_dropout=0.9).train()
    first = logits(network, TITLES)
    assert torch.equal(logits(network.train(), TITLES), first)
    assert torch.equal(logits(build(name), TITLES), first)


@both_networks
def test_dropout_is_on_while_training(name):
    network = build(name, dropout=0.5).train()
    batch = network.batch(ragged(TITLES), SUBWORD_IDS)
    assert not torch.equal(network(batch), network(batch))


@both_networks
def test_every_activation_gives_different_logits(name):
    all_logits = [logits(build(name, activation=activation), TITLES) for activation in ACTIVATIONS]
    assert all(values.isfinite().all() for values in all_logits)
    assert len({tuple(values.flatten().tolist()) for values in all_logits}) == len(ACTIVATIONS)


@both_networks
@pytest.mark.parametrize("embeddings", ["frozen", "trained"])
@pytest.mark.parametrize(
    "titles", [TITLES, [[6], [7]], [[], []]], ids=["all kinds", "words outside the vocabulary", "no words"]
)
def test_trained_embeddings_get_sparse_gradients_frozen_ones_none_and_other_weights_dense_ones(
    name, embeddings, titles
):
    network = build(name, embeddings=embeddings).train()
    network(network.batch(ragged(titles), SUBWORD_IDS)).sum().backward()
    gradients = {path: weight.grad for path, weight in network.named_parameters()}
    tables = ["word_vectors.own", "word_vectors.subwords"] + ["pair_vectors.table"] * (name == "mlp")
    table_gradients = [gradients.pop(f"{table}.weight") for table in tables]
    if embeddings == "frozen":
        assert table_gradients == [None] * len(tables)
    else:
        assert all(gradient.is_sparse for gradient in table_gradients)
    assert {"word_vectors.normalise.weight", "word_vectors.normalise.bias", "output.weight"} <= gradients.keys()
    assert all(gradient.layout == torch.strided for gradient in gradients.values())
    assert not any(buffer.requires_grad for buffer in network.buffers())


@both_networks
def test_a_network_without_subwords_learns_its_words(name):
    network = build(name).train()
    network(network.batch(ragged([[0, 3], [1]]), ragged([[]] * 5))).sum().backward()
    assert network.word_vectors.own.weight.grad.coalesce().indices().tolist() == [[0, 1, 3]]


def test_pretrained_vectors_replace_own_vectors_except_for_rows_of_nan():
    vectors = build("mlp").word_vectors
    initial = vectors.own.weight.detach().clone()
    pretrained = np.full((5, 6), np.nan, np.float32)
    pretrained[[1, 4]] = [[1] * 6, [2] * 6]
    vectors.load_pretrained(pretrained)
    assert vectors.own.weight[[1, 4]].tolist() == [[1] * 6, [2] * 6]
    assert torch.equal(vectors.own.weight[[0, 2, 3]], initial[[0, 2, 3]])
    assert not vectors.subwords.weight.any()


def test_word_dropout_drops_complete_own_vectors_and_only_in_training():
    torch.manual_seed(0)
    vectors = without_normalisation(WordVectors(Sizes(200, 1, 0, 3, 2), model_params(word_dropout=0.25, members=1)))
    batch = words_of([range(200)], ragged([[]] * 200), 200)
    retained = (vectors.train()(batch) == vectors.own.weight).all(1)
    dropped = (vectors(batch) == 0).all(1)
    assert 130 < retained.sum() < 170 and 30 < dropped.sum() < 70
    assert torch.equal(vectors.eval()(batch), vectors.own.weight)


def test_word_dropout_does_not_drop_subwords():
    vectors = without_normalisation(build("mlp", word_dropout=0.999999).word_vectors).train()
    batch = words_of([[0, 1, 2, 3, 4]])
    counts = batch.subwords.offsets.diff()[:, None].clamp(min=1)
    assert torch.equal(vectors(batch), vectors.subwords(batch.subwords) / counts.sqrt())


def test_word_dropout_is_independent_for_each_member():
    torch.manual_seed(0)
    vectors = without_normalisation(WordVectors(Sizes(200, 1, 0, 4, 2), model_params(word_dropout=0.5))).train()
    batch = words_of([range(200)], ragged([[]] * 200), 200)
    first, second = ((vectors(batch) == 0).view(200, 2, 2)).all(2).T
    assert 60 < (first != second).sum() < 140


def test_an_empty_title_has_zero_features_in_the_mlp():
    network = build("mlp").eval()
    zeros, no_filters = torch.zeros(MEMBERS, 1, SIZES.dimension // MEMBERS), torch.zeros(MEMBERS, 1, 4)
    features = torch.cat([network.hidden(zeros), no_filters], 2)
    expected = network.output(features).log_softmax(2).logsumexp(0)
    torch.testing.assert_close(logits(network, [[], [0]])[:1], expected.detach())


@settings(deadline=None, max_examples=30)
@given(TITLE, st.randoms(use_true_random=False))
def test_without_bigrams_the_mlp_does_not_depend_on_the_order_of_words(title, random):
    shuffled = random.sample(title, len(title))
    network = build("mlp")
    network.pair_vectors.table.weight.data.zero_()
    torch.testing.assert_close(logits(network, [shuffled]), logits(network, [title]), rtol=1e-5, atol=1e-5)


def test_the_mlp_divides_the_sum_of_the_words_by_a_power_of_their_number():
    network = build("mlp")
    hidden_inputs = []
    network.hidden.register_forward_pre_hook(lambda _, inputs: hidden_inputs.append(inputs[0]))
    for words in ([1, 5], [1, 5, 1, 5]):
        logits(network, [words])
    torch.testing.assert_close(hidden_inputs[1], hidden_inputs[0] * 2 ** (1 - LENGTH_POWER))


def test_the_filters_of_the_mlp_are_pooled_by_maximum_plus_mean_over_the_words():
    network, batch = build("mlp").eval(), ragged([[1, 5, 1, 6], [1], [5], [6]])
    vectors = network.word_vectors(network.batch(batch, SUBWORD_IDS).words).view(3, MEMBERS, -1).transpose(0, 1)
    first, second, third = network.activation(
        network.filters[0].weight.transpose(1, 2) @ vectors.transpose(1, 2) + network.filters[0].bias.transpose(1, 2)
    ).unbind(2)
    expected = torch.stack([first, second, third]).amax(0) + (2 * first + second + third) / 4
    actual = network.features(network.batch(batch, SUBWORD_IDS))[:, 0, -4:]
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_every_position_of_a_filter_of_the_cnn_passes_over_every_word(position):
    network = build("cnn")
    *narrower, widest = (filters.weight.data for filters in network.filters)
    for weight in narrower:
        weight.zero_()
    widest.view(MEMBERS, 3, -1, 5)[:, [other for other in range(3) if other != position]] = 0
    empty, first, last = logits(network, [[], [4, 7], [7, 4]])
    assert not torch.equal(first, empty)
    torch.testing.assert_close(first, last, rtol=1e-5, atol=1e-5)


def test_the_cnn_depends_on_the_order_of_words():
    network = build("cnn")
    assert not torch.allclose(logits(network, [[0, 1, 2]]), logits(network, [[2, 1, 0]]), atol=1e-3)


def test_probabilities_are_the_mean_over_the_members():
    network = build("mlp")
    batch = network.batch(ragged(TITLES), SUBWORD_IDS)
    network.word_vectors.normalise.momentum = 0
    member_probs = network.output(network.eval().features(batch)).softmax(2)
    torch.testing.assert_close(network(batch).softmax(1), member_probs.mean(0))


@both_networks
def test_the_members_of_a_network_share_no_weights(name):
    network = build(name).eval()
    batch = network.batch(ragged(TITLES), SUBWORD_IDS)
    before = network.output(network.features(batch))
    for table in (network.word_vectors.own, network.word_vectors.subwords):
        table.weight.data[:, : SIZES.dimension // MEMBERS] += 1
    first, second = network.output(network.features(batch)) - before
    assert first.abs().max() > 1e-3 and not second.any()


@both_networks
def test_the_temperature_divides_the_logits(name):
    network = build(name)
    plain = logits(network, TITLES)
    network.temperature.fill_(2)
    torch.testing.assert_close(logits(network, TITLES), plain / 2)


def test_bigram_vectors_are_summed_for_adjacent_words_in_the_order_of_the_bigram():
    vectors = build("mlp").pair_vectors
    table = vectors.table.weight
    sums = vectors(vectors.bags(ragged([[1, 2], [2, 1], [1], [2], [0, 3, 0, 1, 2], []])))
    zeros = torch.zeros(SIZES.dimension)
    torch.testing.assert_close(sums, torch.stack([table[0], zeros, zeros, zeros, table[0] + table[1], zeros]))


def test_without_bigrams_their_sums_are_zero():
    vectors = BigramVectors(Sizes(5, 10, 0, 6, 4), model_params())
    sums = vectors(vectors.bags(ragged(TITLES)))
    assert sums.shape == (len(TITLES), 6) and not sums.any()
