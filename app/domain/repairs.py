"""Repairs: requests, plans, progress and results."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from app.domain.gaps import Gap, Retry
from app.domain.prices import UNBOUNDED, TickerKey, TimeRange

REPAIR_LOCK: Final = "prices:repair"
"""The advisory lock of repairs, and of what must not run during one."""
EVERY_TICKER: Final = "*"
"""The key in `failed` of a repair that failed as a whole."""


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """Which tickers to repair over which range of time; None means all of them.

    With `force`, unfillable slots are requested again. The field names are persisted.
    """

    exchange: str | None = None
    ticker: str | None = None
    span: TimeRange = UNBOUNDED
    force: bool = False

    def covers(self, key: TickerKey) -> bool:
        """Return whether a ticker is to be repaired."""
        return self.exchange in {None, key.exchange} and self.ticker in {None, key.ticker}


@dataclass(frozen=True, slots=True)
class RepairResult:
    """The result of a repair in slots: missing ones are filled, unfillable or remaining.

    The exchange can't supply unfillable slots; remaining ones may be filled by another repair.
    `failed` maps tickers to error codes.
    """

    filled: int = 0
    unfillable: int = 0
    remaining: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TickerRun:
    """The result of one run over a ticker's gaps.

    A run that is not `ended` ran out of time. `code` is that of its last error; `retryable`
    tells whether a retry may help.
    """

    seconds: float
    filled: int = 0
    ended: bool = False
    code: str | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class QueuedRepair:
    """A requested repair, which runs in slices; `settled` tickers are done.

    `since_us` is the database's clock at its first slice, `seconds` the time spent on it so far.
    The field names are persisted.
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

    def after_slice(
        self, runs: Mapping[TickerKey, TickerRun], seconds: float, max_trouble_seconds: float
    ) -> "QueuedRepair":
        """Return it after another slice; a ticker that failed for too long is settled, too."""
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
            if run.code and (not run.retryable or trouble[name] >= max_trouble_seconds):
                settled.add(name)
        return replace(
            self,
            seconds=self.seconds + seconds,
            filled=self.filled + sum(run.filled for run in runs.values()),
            settled=frozenset(settled),
            trouble_seconds=trouble,
            failed=failed,
        )

    def ended(self, last: RepairResult, unfinished: Collection[TickerKey]) -> "QueuedRepair":
        """Return it with its result; `last` is that of its last slice.

        A ticker failed only if it had pending gaps then, as others may have filled them.
        """
        names = {str(key): key.ticker for key in unfinished}
        failed = {names[key]: code for key, code in self.failed.items() if key in names}
        return replace(self, result=replace(last, filled=self.filled, failed=failed))

    def as_failed(self, code: str) -> "QueuedRepair":
        """Return it as failed as a whole."""
        return replace(self, result=RepairResult(filled=self.filled, failed={EVERY_TICKER: code}))


class RepairProgress(NamedTuple):
    """The progress of a repair: its slots in total and done, and the chunk that was just done.

    The first report of a repair has no chunk.
    """

    total: int
    done: int
    key: TickerKey | None = None
    chart: str = ""
    filled: int = 0
    unfillable: int = 0


OnProgress: TypeAlias = Callable[[RepairProgress], None]
"""A callback for the progress of a repair."""


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """The pending gaps of a repair by ticker, and the numbers of missing and of given up slots.

    Gaps whose retry is not due yet are left out, but count as missing in the `total`.
    """

    pending_gaps: Mapping[TickerKey, Sequence[Gap]]
    total: int
    given_up: int
    exchange_now_us: Mapping[TickerKey, int]
    database_us: int
    retries: Mapping[TickerKey, Sequence[Retry]]
    forced: bool
