import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.nn.small_networks import MEMBERS, SIZES, SUBWORD_IDS, TITLE, TITLES, both_networks, build, logits, ragged
from titles.nn.hparams import ACTIVATIONS
from titles.nn.networks import LENGTH_POWER


def test_a_batch_has_words_and_windows_and_for_the_mlp_bigrams_with_a_vector():
    titles = ragged([[3, 0, 3], [], [6]])
    mlp, cnn = (build(name).batch(titles, SUBWORD_IDS) for name in ("mlp", "cnn"))
    assert mlp.words.bags.rows.tolist() == cnn.words.bags.rows.tolist() == [0, 3, 6]
    assert (mlp.bigrams.indices.tolist(), mlp.bigrams.offsets.tolist()) == ([1], [0, 1, 1, 1])
    assert mlp.words.bags.offsets.tolist() == cnn.words.bags.offsets.tolist() == [0, 1, 2, 3, 4]
    assert [windows.offsets.diff().tolist() for windows in mlp.windows] == [[3, 0, 1]]
    assert [windows.offsets.diff().tolist() for windows in cnn.windows] == [[3, 0, 1], [4, 0, 2], [5, 0, 3]]
    assert cnn.windows[0].words.tolist() == [[1], [0], [1], [2]]


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
