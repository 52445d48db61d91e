"""How much is measured: all of it, or what shows a collapse within a minute."""

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60
DAY_MINUTES: Final = 1_440


@dataclass(frozen=True, slots=True)
class Scale:
    """How many rows are stored, how often and how long is measured, how strict bounds are.

    `slack` loosens bounds on ratios: half as fast passes with 2.
    """

    name: str
    rows: int
    big_rows: int
    rounds: int
    seconds: int
    truth_seconds: int
    slack: float

    @property
    def is_long(self) -> bool:
        """Tell whether everything is measured."""
        return self.big_rows > 0


LONG: Final = Scale("long", 1_000_000, 10_000_000, rounds=5, seconds=2, truth_seconds=15, slack=1.0)
SHORT: Final = Scale("short", 200_000, 0, rounds=3, seconds=1, truth_seconds=4, slack=2.0)
