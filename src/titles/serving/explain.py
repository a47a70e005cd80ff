"""Which words of a title decided: what the score of its best category loses without each of them.

Occlusion, as Zeiler and Fergus (2014), Visualizing and understanding convolutional networks.
"""

import numpy as np
import pyarrow as pa

from titles.inference.classifier import Classifier
from titles.text.tokenizer import tokenize


def occlusion_attribution(classifier: Classifier, title: str) -> tuple[list[str], dict[str, list[float]]]:
    """The words of the title, and what each of them weighs to each network.

    A word that speaks for another category weighs less than nothing.
    """
    words = tokenize(pa.array([title], pa.string()))[0].as_py()
    without = [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]
    said = classifier.probabilities(pa.array([title, *without], pa.string()))
    of_best = {network: scores[:, (scores[0] * classifier.weights).argmax()] for network, scores in said.items()}
    return words, {network: np.round(scores[0] - scores[1:], 6).tolist() for network, scores in of_best.items()}
