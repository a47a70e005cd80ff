"""Constraints on parameter values, used as type annotations.

This module needs only the standard library, so that the dataclasses of parameters can be imported anywhere.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An interval of numbers in mathematical notation: `(0, 1]` excludes 0 and includes 1."""

    notation: str

    def __contains__(self, number: float) -> bool:
        low, high = (float(bound) for bound in self.notation[1:-1].split(","))
        return (
            low < number < high or (number == low and "[" in self.notation) or (number == high and "]" in self.notation)
        )

    def __str__(self) -> str:
        return f"in {self.notation}"


@dataclass(frozen=True)
class OneOf:
    """A set of allowed names. Pass the table in which the code looks the name up."""

    names: Collection[str]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __str__(self) -> str:
        return "out of " + ", ".join(self.names)


def check_range(low_name: str, low: int, high_name: str, high: int) -> None:
    """Raise ValueError if `high` is less than `low`. The names are those of two parameters of one section."""
    if high < low:
        raise ValueError(f"{high_name} is {high}, less than {low_name}, {low}")
