import numpy as np
import torch

from titles.data.batch import Batch, WordBatch, to_device
from titles.data.conv_windows import Windows
from titles.data.csr_bags import CSRBags
from titles.data.ragged import Ragged

SUBWORD_IDS = Ragged(np.array([0, 1, 2, 3, 1], np.int32), np.array([0, 2, 3, 3, 5]))


def test_vocabulary_words_come_first_and_every_distinct_word_has_one_bag_of_subwords():
    words = WordBatch.from_ids(np.array([3, 0, 3, 1]), np.array([0, 3, 4]), SUBWORD_IDS, vocabulary_size=2)
    assert words.bags.rows.tolist() == [0, 1, 3]
    assert words.num_in_vocabulary == 2
    assert (words.subwords.indices.tolist(), words.subwords.offsets.tolist()) == ([0, 1, 2, 3, 1], [0, 2, 3, 5])


def test_to_device_moves_every_tensor_of_a_batch():
    words = WordBatch.from_ids(np.array([3, 0]), np.array([0, 1, 2]), SUBWORD_IDS, vocabulary_size=2)
    windows = Windows.from_bags(2, words.bags, np.array([0, 2]))
    batch = Batch(words, torch.tensor([2]), windows=(windows,))
    moved = to_device(batch, torch.device("meta"))
    assert (moved.words.num_in_vocabulary, moved.bigrams) == (1, None)
    tensors = [moved.lengths, *vars(moved.words.bags).values(), *vars(moved.words.subwords).values()]
    tensors += vars(moved.windows[0]).values()
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert isinstance(moved.words.bags, CSRBags)
    assert to_device(batch, torch.device("cpu")) is batch
