"""Decision rules: from calibrated probabilities to the predicted category, which depends on the objective.

For accuracy it is the most probable category. For balanced accuracy each probability is first divided by a power of the
share of the category in the training titles, because a title of a rare category counts more.
"""

import numpy as np
from numpy.typing import NDArray

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.nn.hparams import OBJECTIVES


def decision_weights(vocabulary: Vocabulary, objective: str) -> NDArray[np.float32]:
    """Factors of the probabilities before the argmax, float32 [trained categories]; 1 for the rarest category."""
    log_weights = -OBJECTIVES[objective] * vocabulary.log_shares
    weights: NDArray[np.float32] = np.exp(log_weights - log_weights.max(initial=-np.inf))
    return weights


def check_objective(objective: str | None) -> None:
    """Raise InputError for an unsupported objective; None means that of the model."""
    if objective is not None and objective not in OBJECTIVES:
        raise InputError(f"the objective is {objective!r}; it is one of {', '.join(OBJECTIVES)}")
