"""Progress and remaining time of long work: a line redrawn in place on a terminal, a line every 30 seconds in a log.

tqdm is not used: training must run with torch, NumPy and safetensors alone, and bars drawn with carriage returns
make one endless line in a log.
"""

import logging
import os
import sys
import time
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

TERMINAL_SECONDS, LOG_SECONDS = 0.2, 30.0


class Progress:
    """A progress counter up to `total`: `with Progress(len(rows), "titles", "encoding") as progress`.

    `initial` items were done before; they count towards the percentage, not the rate.
    """

    def __init__(self, total: int, unit: str, description: str, initial: int = 0) -> None:
        self.total, self.unit, self.description = total, unit, description
        self.done = self.initial = initial
        self.started = self.last_shown = time.monotonic()
        # Of several processes only rank 0 draws on the terminal.
        self.is_terminal = sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def update(self, amount: int) -> None:
        """Add `amount` to the count, and show the progress if it is time to."""
        self.done += amount
        now = time.monotonic()
        if now - self.last_shown < (TERMINAL_SECONDS if self.is_terminal else LOG_SECONDS):
            return
        self.last_shown = now
        if self.is_terminal:
            print(f"\r\x1b[K{self._line(now - self.started)}", end="", file=sys.stderr, flush=True)
        else:
            log.info(self._line(now - self.started))

    def _line(self, seconds: float) -> str:
        share = min(1.0, self.done / max(1, self.total))
        rate = (self.done - self.initial) / seconds
        left = (self.total - self.done) / rate if rate else 0
        return f"{self.description}: {share:.0%}, {rate:,.0f} {self.unit}/s, {format_seconds(left)} to go"


def format_seconds(seconds: float) -> str:
    """Format a duration in its two largest units: `75` becomes `1 min 15 s`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
