"""From calibrated probabilities to the category one decides for, which depends on the objective.

For accuracy it is the most probable category. For balanced accuracy a category counts the more the rarer it is, so each
probability is first divided by a power of the category's share of the training titles.
"""

import numpy as np
from numpy.typing import NDArray

from titles.core.errors import InputError
from titles.data.encoded_dataset import Vocabulary
from titles.nn.hparams import OBJECTIVES


def decision_weights(vocabulary: Vocabulary, objective: str) -> NDArray[np.float32]:
    """What to multiply each probability by before the highest is chosen, [trained categories], 1 for the rarest."""
    logs = -OBJECTIVES[objective] * vocabulary.log_shares
    weights: NDArray[np.float32] = np.exp(logs - logs.max(initial=-np.inf))
    return weights


def check_objective(objective: str | None) -> None:
    """Raise InputError for one that does not exist; None stands for the model's own."""
    if objective is not None and objective not in OBJECTIVES:
        raise InputError(f"the objective is {objective!r}; it is one of {', '.join(OBJECTIVES)}")
