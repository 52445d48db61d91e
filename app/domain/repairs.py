"""Repairs: what is wished for, what came of it, and how far one is."""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from app.domain.gaps import Gap, count_slots, subtract
from app.domain.prices import TickerKey, TimeRange
from app.domain.retries import Retry

UNBOUNDED: Final = TimeRange()
REPAIR_LOCK: Final = "prices:repair"
"""The advisory lock of whoever repairs, or must not be repaired behind."""
EVERY_TICKER: Final = "*"
"""In `failed`: the repair as a whole broke."""


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """What to repair: of which tickers, over which span; forced, what was refused is asked again.

    What is left out means all of them, and since the beginning of the recordings.
    """

    exchange: str | None = None
    ticker: str | None = None
    span: TimeRange = UNBOUNDED
    force: bool = False

    def covers(self, key: TickerKey) -> bool:
        """Tell whether a ticker is meant."""
        return self.exchange in {None, key.exchange} and self.ticker in {None, key.ticker}


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What a repair did, in slots: those that were missing are filled, unfillable or remaining.

    Unfillable are those that the exchange can't give, now or when it was asked; what remains is
    worth another repair. Error codes stand by ticker.
    """

    filled: int = 0
    unfillable: int = 0
    remaining: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TickerRun:
    """What one run over a ticker's gaps came to.

    A run that was not `ended` by itself ran out of time; `code` names what it failed with last.
    """

    seconds: float
    filled: int = 0
    ended: bool = False
    code: str | None = None
    passes: bool = True
    """Whether such a failure may pass by itself."""


@dataclass(frozen=True, slots=True)
class QueuedRepair:
    """A repair that was requested and is carried out in slices; `settled` tickers are done.

    `since_us` is the database's clock at its first slice, `seconds` how long it was worked on.
    """

    id: str
    request: RepairRequest
    number: int = 0
    since_us: int | None = None
    seconds: float = 0.0
    filled: int = 0
    settled: frozenset[str] = frozenset()
    trouble_seconds: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    result: RepairResult | None = None

    def after(
        self, runs: Mapping[TickerKey, TickerRun], seconds: float, most_trouble_seconds: float
    ) -> "QueuedRepair":
        """Give what it is after a slice; a ticker whose trouble lasts is given up on."""
        settled, trouble, failed = set(self.settled), {**self.trouble_seconds}, {**self.failed}
        for key, run in runs.items():
            name = str(key)
            if run.code is None:
                failed.pop(name, None)
            else:
                failed[name] = run.code
                trouble[name] = trouble.get(name, 0) + run.seconds
            if run.code is None and run.ended:
                settled.add(name)
            if run.code and (not run.passes or trouble[name] >= most_trouble_seconds):
                settled.add(name)
        return replace(
            self,
            seconds=self.seconds + seconds,
            filled=self.filled + sum(run.filled for run in runs.values()),
            settled=frozenset(settled),
            trouble_seconds=trouble,
            failed=failed,
        )

    def ended(self, missing: "RepairPlan", refused: int, taken: int) -> "QueuedRepair":
        """Give it with its result; `missing` is what its last slice set out with.

        A ticker failed only if it still had open gaps then: others may have filled them.
        """
        failed = {
            key.ticker: self.failed[str(key)] for key in missing.open if str(key) in self.failed
        }
        unfillable, remaining = missing.given_up + refused, missing.total - refused - taken
        return replace(self, result=RepairResult(self.filled, unfillable, remaining, failed))

    def broken(self, code: str) -> "QueuedRepair":
        """Give it as one that broke as a whole."""
        return replace(self, result=RepairResult(filled=self.filled, failed={EVERY_TICKER: code}))


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


OnProgress: TypeAlias = Callable[[Progress], None]
"""Hears how far a repair is."""


class RepairPlan:
    """What a repair set out with, by ticker: `open` gaps, and how many slots were given up.

    Of `retries`, those that are not due are left out of the open gaps, and count as missing.
    """

    def __init__(  # noqa: PLR0913  # all that one look found
        self,
        found: Mapping[TickerKey, Sequence[Gap]],
        presents: Mapping[TickerKey, int],
        database_us: int,
        retries: Mapping[TickerKey, Sequence[Retry]],
        *,
        forced: bool,
        waits: bool,
    ) -> None:
        of_each = {key: [gap for gap in run if gap.reason is None] for key, run in found.items()}
        self.total = sum(map(count_slots, of_each.values()))
        self.given_up = sum(map(count_slots, found.values())) - self.total
        if waits:
            for key, runs in retries.items():
                later = [run for run in runs if run.next_us > database_us]
                of_each[key] = subtract(of_each.get(key, []), later)
        self.open = {key: run for key, run in of_each.items() if run}
        self.presents = presents
        self.database_us = database_us
        self.retries = retries
        self.forced = forced

    def without(self, names: Collection[str]) -> "RepairPlan":
        """Give the same but for the open gaps of some tickers."""
        rest = copy(self)
        rest.open = {key: run for key, run in self.open.items() if str(key) not in names}
        return rest
