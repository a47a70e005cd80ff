import numpy as np
import torch

from tests.nn.small_networks import (
    SIZES,
    SUBWORD_IDS,
    TITLES,
    both_networks,
    build,
    logits,
    model_params,
    ragged,
    without_normalisation,
    words_of,
)
from titles.nn.networks import predict
from titles.nn.word_embedding import BigramVectors, Sizes, WordVectors


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


@both_networks
def test_precomputed_word_vectors_give_the_same_logits_without_the_subwords_of_vocabulary_words(name):
    network, precomputed = build(name).eval(), build(name)
    precomputed.word_vectors.precompute(SUBWORD_IDS)
    assert torch.equal(logits(precomputed, TITLES), logits(network, TITLES))
    rows = [[]] * SIZES.vocabulary + [[6, 0], [9], []]
    actual = torch.cat(list(predict(precomputed, ragged(TITLES), ragged(rows))))
    assert torch.equal(actual, logits(network, TITLES))


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
