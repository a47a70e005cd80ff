from itertools import accumulate, chain

import numpy as np
import pytest
import torch

from titles.data.conv_windows import Windows
from titles.data.csr_bags import CSRBags
from titles.nn.text_conv import max_mean_pool, sum_words, text_conv

# The word ids of titles; the second title is empty.
TITLES = [[2, 0, 1, 2], [], [1], [0, 0]]


def random(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def windows_of(kernel_size):
    word_ids = np.array(list(chain(*TITLES)))
    bags = CSRBags.from_offsets(word_ids, np.arange(len(word_ids) + 1))
    return Windows.from_bags(kernel_size, bags, np.array([0, *accumulate(map(len, TITLES))]))


def windows_of_titles(*lengths):
    """Windows of one position for titles with these numbers of words, which all differ."""
    word_ids = np.arange(sum(lengths))
    return Windows.from_bags(
        1, CSRBags.from_offsets(word_ids, np.arange(len(word_ids) + 1)), np.array([0, *accumulate(lengths)])
    )


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_text_conv_equals_a_linear_layer_over_the_concatenated_words_of_each_window(kernel_size):
    torch.manual_seed(0)
    vectors, weight, bias = random(3, 2 * 5), random(2, kernel_size * 5, 4), random(2, 1, 4)
    empty = torch.zeros(kernel_size - 1, 2, 5)
    lines = [torch.cat([empty, vectors.view(3, 2, 5)[title], empty]) for title in TITLES if title]
    window_vectors = [
        line[first : first + kernel_size] for line in lines for first in range(len(line) - kernel_size + 1)
    ]
    concatenated = torch.stack(window_vectors).permute(2, 0, 1, 3).flatten(2)
    expected = torch.baddbmm(bias, concatenated, weight).transpose(0, 1).flatten(1)
    windows = windows_of(kernel_size)
    torch.testing.assert_close(text_conv(vectors, weight, bias, windows), expected)
    assert torch.autograd.gradcheck(lambda *inputs: text_conv(*inputs, windows), (vectors, weight, bias))


def test_a_title_has_a_window_for_every_position_that_contains_a_word():
    assert windows_of(1).offsets.tolist() == [0, 4, 4, 5, 7]
    assert windows_of(3).offsets.tolist() == [0, 6, 6, 9, 13]
    empty = 3
    assert windows_of(2).words[:5].tolist() == [[empty, 2], [2, 0], [0, 1], [1, 2], [2, empty]]


def test_max_mean_pool_adds_maximum_and_mean_and_gives_zero_without_windows():
    activations = torch.tensor([[1.0], [2.0], [6.0], [-4.0]])
    assert max_mean_pool(activations, windows_of_titles(3, 0, 1)).tolist() == [[6 + 3], [0], [-4 - 4]]


def test_the_gradient_of_max_mean_pool_is_correct():
    torch.manual_seed(0)
    windows = windows_of_titles(3, 0, 2, 1, 0)
    assert torch.autograd.gradcheck(lambda activations: max_mean_pool(activations, windows), random(6, 4))


def test_sum_words_sums_the_words_of_a_title_with_the_correct_gradient():
    torch.manual_seed(0)
    vectors, windows = random(3, 4), windows_of(1)
    expected = torch.stack([vectors[title].sum(0) for title in TITLES])
    torch.testing.assert_close(sum_words(vectors, windows), expected)
    assert torch.autograd.gradcheck(lambda vectors: sum_words(vectors, windows), vectors)
