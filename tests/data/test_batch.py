import numpy as np
import torch

from titles.data.batch import Batch, WordBatch, to_device
from titles.data.conv_windows import Windows
from titles.data.csr_bags import CSRBags
from titles.data.ragged import Ragged

SPELLING = Ragged(np.array([0, 1, 2, 3, 1], np.int32), np.array([0, 2, 3, 3, 5]))


def test_words_with_a_vector_of_their_own_come_first_and_every_word_is_spelled_once():
    words = WordBatch.from_ids(np.array([3, 0, 3, 1]), np.array([0, 3, 4]), SPELLING, vocabulary_size=2)
    assert words.bags.rows.tolist() == [0, 1, 3]
    assert words.num_in_vocabulary == 2
    assert (words.subwords.indices.tolist(), words.subwords.offsets.tolist()) == ([0, 1, 2, 3, 1], [0, 2, 3, 5])


def test_a_batch_is_moved_with_all_that_it_holds():
    words = WordBatch.from_ids(np.array([3, 0]), np.array([0, 1, 2]), SPELLING, vocabulary_size=2)
    windows = Windows.from_bags(2, words.bags, np.array([0, 2]))
    batch = Batch(words, torch.tensor([2]), windows=(windows,))
    there = to_device(batch, torch.device("meta"))
    assert (there.words.num_in_vocabulary, there.bigrams) == (1, None)
    tensors = [there.lengths, *vars(there.words.bags).values(), *vars(there.words.subwords).values()]
    tensors += vars(there.windows[0]).values()
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert isinstance(there.words.bags, CSRBags)
    assert to_device(batch, torch.device("cpu")) is batch
