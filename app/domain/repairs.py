"""Repairs: what is wished for, what came of it, and how far one is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from app.domain.gaps import Gap, count_slots
from app.domain.prices import Span, TickerKey

EVER: Final = Span()


@dataclass(frozen=True, slots=True)
class Wish:
    """What to repair: of which tickers, over which span; forced, what was refused is asked again.

    What is left out means all of them, and since the beginning of the recordings.
    """

    exchange: str | None = None
    ticker: str | None = None
    span: Span = EVER
    force: bool = False

    def covers(self, key: TickerKey) -> bool:
        """Tell whether a ticker is meant."""
        return self.exchange in {None, key.exchange} and self.ticker in {None, key.ticker}


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did, in slots: those that were missing are filled, unfillable or remaining.

    Unfillable are those that the exchange can't give, now or when it was asked; what remains is
    worth another repair. Error codes stand by ticker.
    """

    filled: int = 0
    unfillable: int = 0
    remaining: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class Progress(NamedTuple):
    """How far a repair is: the slots it set out to repair and those decided; the chunk just done.

    The first of a repair has no chunk.
    """

    total: int
    done: int
    key: TickerKey | None = None
    chart: str = ""
    filled: int = 0
    unfillable: int = 0


Tell: TypeAlias = Callable[[Progress], None]
"""Hears how far a repair is."""


class Missing:
    """What a repair set out with, by ticker: `open` gaps, and how many slots were given up."""

    def __init__(
        self,
        found: Mapping[TickerKey, Sequence[Gap]],
        presents: Mapping[TickerKey, int],
        database_us: int,
        *,
        forced: bool,
    ) -> None:
        of_each = {key: [gap for gap in run if gap.reason is None] for key, run in found.items()}
        self.open = {key: run for key, run in of_each.items() if run}
        self.total = sum(map(count_slots, self.open.values()))
        self.given_up = sum(map(count_slots, found.values())) - self.total
        self.presents = presents
        self.database_us = database_us
        self.forced = forced
