import numpy as np
import pytest

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.nn.decision import check_objective, decision_weights
from titles.nn.hparams import OBJECTIVES


def vocabulary(*counts):
    return Vocabulary([str(label) for label in range(len(counts))], list(counts), [3], 10, [])


def test_for_accuracy_all_categories_have_equal_weights():
    assert decision_weights(vocabulary(1, 10, 1000), "accuracy").tolist() == [1, 1, 1]


def test_for_balanced_accuracy_rare_categories_have_higher_weights():
    strength = OBJECTIVES["balanced_accuracy"]
    weights = decision_weights(vocabulary(1, 10, 1000), "balanced_accuracy")
    np.testing.assert_allclose(weights, [1, 10**-strength, 1000**-strength], rtol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_equally_frequent_categories_have_equal_weights(objective):
    assert decision_weights(vocabulary(7, 7), objective).tolist() == [1, 1]


def test_the_error_for_an_unsupported_objective_lists_the_supported_ones():
    with pytest.raises(InputError, match="'speed'; it is one of balanced_accuracy, accuracy"):
        check_objective("speed")
