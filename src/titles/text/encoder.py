"""The encoder: titles to word ids, with subword ids for the words that are not in the vocabulary."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from titles.data.encoded_dataset import Vocabulary
from titles.data.ragged import Ragged
from titles.text.tokenizer import tokenize
from titles.text.vocabulary import hash_ngrams


class TitleEncoder:
    """Encode titles by a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.word_to_id = {word: word_id for word_id, word in enumerate(vocabulary.words)}

    def encode(self, titles: pa.StringArray) -> tuple[Ragged, Ragged]:
        """Return the word ids of each title, and the subword ids of each word.

        The words of the vocabulary come first and have no subword ids here. All other words of `titles` get the next
        ids, in the order in which they first appear. A title that is null has no words.
        """
        words = tokenize(titles.fill_null("") if titles.null_count else titles)
        encoded = words.flatten().dictionary_encode()
        distinct, num_words = encoded.dictionary.to_pylist(), len(self.word_to_id)
        new_words = [word for word in distinct if word not in self.word_to_id]
        ids = np.array([self.word_to_id.get(word, -1) for word in distinct], np.int32)
        ids[ids < 0] = num_words + np.arange(len(new_words))
        word_ids = Ragged(ids[encoded.indices.to_numpy()], words.offsets.to_numpy().astype(np.int64))
        subword_ids = hash_ngrams(new_words, self.vocabulary.subword_lengths, self.vocabulary.subword_buckets)
        offsets = np.concatenate([np.zeros(num_words, np.int64), subword_ids.offsets])
        return word_ids, Ragged(subword_ids.values, offsets)

    def is_unknown(self, word_ids: Ragged, subword_ids: Ragged) -> NDArray[np.bool_]:
        """Return whether a title has no word with a vector, bool [titles].

        A word has a vector if it is in the vocabulary or has subword ids. The arguments are the results of `encode`.
        """
        has_vector = np.diff(subword_ids.offsets) > 0
        has_vector[: len(self.word_to_id)] = True
        counts = np.append(0, np.cumsum(has_vector[word_ids.values]))[word_ids.offsets]
        is_unknown: NDArray[np.bool_] = np.diff(counts) == 0
        return is_unknown
