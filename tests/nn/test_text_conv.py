from itertools import accumulate, chain

import numpy as np
import pytest
import torch

from titles.data.conv_windows import Windows
from titles.data.csr_bags import CSRBags
from titles.nn.text_conv import max_mean_pool, sum_words, text_conv

# The distinct words of titles; of the second title there are none.
TITLES = [[2, 0, 1, 2], [], [1], [0, 0]]


def random(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def windows_of(width):
    numbers = np.array(list(chain(*TITLES)))
    bags = CSRBags.from_offsets(numbers, np.arange(len(numbers) + 1))
    return Windows.from_bags(width, bags, np.array([0, *accumulate(map(len, TITLES))]))


def windows_of_titles(*lengths):
    """Of one place, of titles of so many words that all differ."""
    numbers = np.arange(sum(lengths))
    return Windows.from_bags(
        1, CSRBags.from_offsets(numbers, np.arange(len(numbers) + 1)), np.array([0, *accumulate(lengths)])
    )


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_filter_sees_the_words_of_its_window_side_by_side_and_nothing_where_there_is_none(width):
    torch.manual_seed(0)
    vectors, weight, bias = random(3, 2 * 5), random(2, width * 5, 4), random(2, 1, 4)
    nothing = torch.zeros(width - 1, 2, 5)
    lines = [torch.cat([nothing, vectors.view(3, 2, 5)[title], nothing]) for title in TITLES if title]
    seen = [line[first : first + width] for line in lines for first in range(len(line) - width + 1)]
    side_by_side = torch.stack(seen).permute(2, 0, 1, 3).flatten(2)
    expected = torch.baddbmm(bias, side_by_side, weight).transpose(0, 1).flatten(1)
    windows = windows_of(width)
    torch.testing.assert_close(text_conv(vectors, weight, bias, windows), expected)
    assert torch.autograd.gradcheck(lambda *given: text_conv(*given, windows), (vectors, weight, bias))


def test_titles_have_a_window_for_every_place_a_word_of_theirs_can_stand_at():
    assert windows_of(1).offsets.tolist() == [0, 4, 4, 5, 7]
    assert windows_of(3).offsets.tolist() == [0, 6, 6, 9, 13]
    none = 3
    assert windows_of(2).words[:5].tolist() == [[none, 2], [2, 0], [0, 1], [1, 2], [2, none]]


def test_a_title_has_of_each_filter_the_maximum_plus_the_mean_of_its_windows_or_zero_without_any():
    found = torch.tensor([[1.0], [2.0], [6.0], [-4.0]])
    assert max_mean_pool(found, windows_of_titles(3, 0, 1)).tolist() == [[6 + 3], [0], [-4 - 4]]


def test_the_gradient_of_what_is_pooled_goes_to_maxima_and_means():
    torch.manual_seed(0)
    windows = windows_of_titles(3, 0, 2, 1, 0)
    assert torch.autograd.gradcheck(lambda found: max_mean_pool(found, windows), random(6, 4))


def test_the_words_of_a_title_are_summed_and_so_are_the_gradients_of_a_word():
    torch.manual_seed(0)
    vectors, windows = random(3, 4), windows_of(1)
    expected = torch.stack([vectors[title].sum(0) for title in TITLES])
    torch.testing.assert_close(sum_words(vectors, windows), expected)
    assert torch.autograd.gradcheck(lambda vectors: sum_words(vectors, windows), vectors)
