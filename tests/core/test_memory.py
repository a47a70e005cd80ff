import sys
from types import SimpleNamespace

import numpy as np
import pytest

from titles.core import memory


@pytest.mark.parametrize(("platform", "ru_maxrss"), [("linux", 300 << 10), ("darwin", 300 << 20)])
def test_the_peak_is_in_megabytes_on_every_system(monkeypatch, platform, ru_maxrss):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(memory.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=ru_maxrss))
    assert memory.peak_memory_mb() == 300


def test_the_peak_is_that_of_this_process():
    written = np.ones(100 << 20, np.uint8)
    assert len(written) >> 20 < memory.peak_memory_mb() < 100_000
