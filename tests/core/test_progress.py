import io
import logging

import pytest

from titles.core import progress as module
from titles.core.progress import Progress, format_seconds


class Clock:
    """A clock that only a test advances."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Replace the clock of the progress module."""
    monkeypatch.setattr(module, "time", clock := Clock())
    return clock


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def logged(caplog):
    """The lines logged so far."""
    caplog.set_level(logging.INFO, logger="titles.core.progress")
    return caplog


def test_initial_items_count_for_the_share_and_not_for_the_rate(logged, clock):
    with Progress(1000, "titles", "epoch 1/2", initial=600) as progress:
        clock.seconds += 40
        progress.update(200)
    assert logged.messages == ["epoch 1/2: 80%, 5 titles/s, 40 s to go"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (75, "1 min 15 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (7199, "1 h 59 min"),
        (90_061, "25 h 1 min"),
    ],
)
def test_seconds_read_as_the_two_largest_units(seconds, expected):
    assert format_seconds(seconds) == expected


def test_a_log_gets_no_line_before_half_a_minute(logged, clock):
    with Progress(10, "titles", "encoding") as progress:
        progress.update(1)
        clock.seconds += 29.9
        progress.update(9)
    assert logged.messages == []


def test_a_log_gets_one_line_after_half_a_minute_and_the_next_after_another(logged, clock):
    with Progress(10, "titles", "encoding") as progress:
        for expected_lines in (1, 2):
            clock.seconds += 30
            progress.update(1)
            progress.update(1)
            assert len(logged.messages) == expected_lines


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1010, "epoch 1/2: 99%, 1 titles/s, 10 s to go"),
        (1000, "epoch 1/2: 100%, 1 titles/s, 0 s to go"),
        # A file of word vectors may hold more words than its header states.
        (900, "epoch 1/2: 100%, 1 titles/s, 0 s to go"),
        (0, "epoch 1/2: 100%, 1 titles/s, 0 s to go"),
    ],
)
def test_a_line_has_the_share_the_rate_and_the_remaining_time(logged, clock, total, expected):
    with Progress(total, "titles", "epoch 1/2") as progress:
        clock.seconds += 1000
        progress.update(1000)
    assert logged.messages == [expected]


def test_without_progress_rate_and_remaining_time_are_zero(logged, clock):
    with Progress(10, "titles", "encoding") as progress:
        clock.seconds += 30
        progress.update(0)
    assert logged.messages == ["encoding: 0%, 0 titles/s, 0 s to go"]


def test_a_log_holds_no_carriage_return_or_escape(logged, clock, capfd):
    with Progress(10, "titles", "encoding") as progress:
        clock.seconds += 30
        progress.update(5)
    assert not progress.is_terminal
    assert not set("\r\x1b") & set("".join(logged.messages) + capfd.readouterr().err)


def test_a_terminal_shows_one_line_that_is_redrawn_and_erased_at_the_end(logged, clock, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with Progress(1010, "titles", "encoding") as progress:
        clock.seconds += 1000
        progress.update(1000)
    assert terminal.getvalue() == "\r\x1b[Kencoding: 99%, 1 titles/s, 10 s to go\r\x1b[K"
    assert logged.messages == []


def test_an_error_passes_through():
    with pytest.raises(KeyError), Progress(1, "titles", "encoding"):
        raise KeyError
