"""Titles as the numbers of their words, by a lexicon, and the spelling of the words it lacks."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.data.encoded_dataset import Vocabulary
from titles.data.ragged import Ragged
from titles.text.tokenizer import tokenize
from titles.text.vocabulary import hash_ngrams


class TitleEncoder:
    """What a lexicon makes of titles."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.word_to_id = {word: number for number, word in enumerate(vocabulary.words)}

    def encode(self, titles: pa.StringArray) -> tuple[Ragged, Ragged]:
        """The titles by their words' numbers, and the spelling of every word by number, empty for the vocabulary's.

        A title that is null has no words.
        """
        words = tokenize(titles.fill_null("") if titles.null_count else titles)
        encoded = words.flatten().dictionary_encode()
        distinct, vocabulary = encoded.dictionary.to_pylist(), len(self.word_to_id)
        unknown = [word for word in distinct if word not in self.word_to_id]
        numbers = np.array([self.word_to_id.get(word, -1) for word in distinct], np.int32)
        numbers[numbers < 0] = vocabulary + np.arange(len(unknown))
        numbered = Ragged(numbers[encoded.indices.to_numpy()], words.offsets.to_numpy().astype(np.int64))
        spelled = hash_ngrams(unknown, self.vocabulary.subword_lengths, self.vocabulary.subword_buckets)
        return numbered, Ragged(spelled.values, np.concatenate([np.zeros(vocabulary, np.int64), spelled.offsets]))

    def is_unknown(self, word_ids: Ragged, subword_ids: Ragged) -> NDArray[np.bool_]:
        """Whether a title has no word of the vocabulary and none that its spelling tells anything of, [titles].

        The arguments are what `of` returns.
        """
        tells = np.diff(subword_ids.offsets) > 0
        tells[: len(self.word_to_id)] = True
        counts = np.append(0, np.cumsum(tells[word_ids.values]))[word_ids.offsets]
        is_unknown: NDArray[np.bool_] = np.diff(counts) == 0
        return is_unknown
