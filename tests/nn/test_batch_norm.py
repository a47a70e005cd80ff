import pytest
import torch

from tests.nn.small_networks import (
    SUBWORD_IDS,
    TITLES,
    all_equal,
    both_networks,
    build,
    logits,
    ragged,
    statistics,
    without_normalisation,
    words_of,
)


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
