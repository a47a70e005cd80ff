"""Titles as the numbers of their words, by a lexicon, and the spelling of the words it lacks."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.data.encoded_dataset import Lexicon
from titles.data.ragged import Ragged
from titles.text.tokenizer import words_of
from titles.text.vocabulary import spell


class Numbering:
    """What a lexicon makes of titles."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.numbers = {word: number for number, word in enumerate(lexicon.vocabulary)}

    def of(self, titles: pa.StringArray) -> tuple[Ragged, Ragged]:
        """The titles by their words' numbers, and the spelling of every word by number, empty for the vocabulary's.

        A title that is null has no words.
        """
        words = words_of(titles.fill_null("") if titles.null_count else titles)
        encoded = words.flatten().dictionary_encode()
        distinct, vocabulary = encoded.dictionary.to_pylist(), len(self.numbers)
        unknown = [word for word in distinct if word not in self.numbers]
        numbers = np.array([self.numbers.get(word, -1) for word in distinct], np.int32)
        numbers[numbers < 0] = vocabulary + np.arange(len(unknown))
        numbered = Ragged(numbers[encoded.indices.to_numpy()], words.offsets.to_numpy().astype(np.int64))
        spelled = spell(unknown, self.lexicon.subword_lengths, self.lexicon.subword_buckets)
        return numbered, Ragged(spelled.values, np.concatenate([np.zeros(vocabulary, np.int64), spelled.offsets]))

    def is_unknown(self, titles: Ragged, spelling: Ragged) -> NDArray[np.bool_]:
        """Whether a title has no word of the vocabulary and none that its spelling tells anything of, [titles].

        The arguments are what `of` returns.
        """
        tells = np.diff(spelling.offsets) > 0
        tells[: len(self.numbers)] = True
        counts = np.append(0, np.cumsum(tells[titles.values]))[titles.offsets]
        is_unknown: NDArray[np.bool_] = np.diff(counts) == 0
        return is_unknown
