"""Occlusion attribution: how much the score of the best category drops when a word of the title is left out.

Zeiler and Fergus (2014), Visualizing and understanding convolutional networks.
"""

import numpy as np
import pyarrow as pa

from titles.inference.classifier import Classifier
from titles.text.tokenizer import tokenize


def occlusion_attribution(classifier: Classifier, title: str) -> tuple[list[str], dict[str, list[float]]]:
    """Return the words of the title and, by network, the weight of each word.

    The weight is the drop in the score of the network's best category. It is negative for a word that speaks against
    that category.
    """
    words = tokenize(pa.array([title], pa.string()))[0].as_py()
    occluded = [" ".join(words[:index] + words[index + 1 :]) for index in range(len(words))]
    probs = classifier.probabilities(pa.array([title, *occluded], pa.string()))
    best_scores = {network: scores[:, (scores[0] * classifier.weights).argmax()] for network, scores in probs.items()}
    return words, {network: np.round(scores[0] - scores[1:], 6).tolist() for network, scores in best_scores.items()}
