"""What a parameter may be, as annotations; imports nothing, so that dataclasses of parameters load anywhere."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """The numbers between two bounds, as mathematics writes them: `(0, 1]` leaves 0 out and takes 1 in."""

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
    """The names a value may have; give it the very table the code looks the name up in."""

    names: Collection[str]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __str__(self) -> str:
        return "out of " + ", ".join(self.names)


def check_range(low_name: str, low: int, high_name: str, high: int) -> None:
    """Raises ValueError where `high` is below `low`; the names are those of two parameters of one section."""
    if high < low:
        raise ValueError(f"{high_name} is {high}, less than {low_name}, {low}")
