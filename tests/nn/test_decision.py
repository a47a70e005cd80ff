import numpy as np
import pytest

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.nn.decision import check_objective, decision_weights
from titles.nn.hparams import OBJECTIVES


def lexicon(*counts):
    return Vocabulary([str(label) for label in range(len(counts))], list(counts), [3], 10, [])


def test_for_accuracy_the_most_probable_category_is_the_best():
    assert decision_weights(lexicon(1, 10, 1000), "accuracy").tolist() == [1, 1, 1]


def test_for_balanced_accuracy_a_category_counts_the_more_the_rarer_it_is():
    strength = OBJECTIVES["balanced_accuracy"]
    weights = decision_weights(lexicon(1, 10, 1000), "balanced_accuracy")
    np.testing.assert_allclose(weights, [1, 10**-strength, 1000**-strength], rtol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_equally_frequent_categories_count_alike(objective):
    assert decision_weights(lexicon(7, 7), objective).tolist() == [1, 1]


def test_an_objective_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InputError, match="'speed'; it is one of balanced_accuracy, accuracy"):
        check_objective("speed")
