"""The health report: freshness of tickers, processes, clocks, and why a price is stale."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from app.domain.prices import TickerKey
from app.domain.slots import Slot

MIN_SILENCE_SECONDS = 5.0
MAX_SILENCE_SECONDS = 30.0
MIN_FAILURE_SECONDS = 10.0
NO_ANSWER_IN_TIME = "no answer in time"
DOES_NOT_ANSWER = "PostgreSQL does not answer"
STATEMENT_ENDED = "PostgreSQL ended a statement"
"""How app/postgres/errors.py begins the messages of these two errors."""
DISK_FULL = "database_full"
WORST_CLOCK_SECONDS = 55 * 60
"""A timestamp an hour off the database's clock is refused; this warns before."""

CheckedHours: TypeAlias = Mapping[int, int]
"""The number of wrong hours of a chunk, by its start in UNIX seconds."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of a ticker's newest live slot in seconds; None if there is none or it is unknown.

    `next_slot` is the one whose live price comes next.
    """

    key: TickerKey
    age_seconds: int | None
    is_fresh: bool
    last_slot: Slot | None = None
    next_slot: Slot | None = None


class StaleReason(NamedTuple):
    """Why a ticker is stale: a stable code for programs, and a text."""

    code: str
    text: str


NO_REASON = StaleReason(
    "nothing_reported", "nothing reported a failure: the logs of beat and worker tell more"
)


class Clocks(NamedTuple):
    """How many seconds the database's and this server's clock are ahead of an exchange's."""

    exchange: str
    database_seconds: float
    server_seconds: float

    def __str__(self) -> str:
        database = _format_offset(self.database_seconds)
        server = _format_offset(self.server_seconds)
        return f"the database's clock is {database} {self.exchange}'s, this server's {server} it"


class Failure(NamedTuple):
    """Why a ticker could not be collected; seconds since it first and last failed."""

    code: str
    detail: str
    since_seconds: float
    last_seconds: float


@dataclass(frozen=True, slots=True)
class ProcessReports:
    """The seconds since the heartbeat of each beat and worker, and failures by ticker.

    `checked_hours` holds by ticker how many hourly summaries the last checks found wrong, and
    `answer_milliseconds` how long each exchange took to answer in the last tick that asked it.
    """

    beats: Mapping[str, float] = field(default_factory=dict)
    workers: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    checked_hours: Mapping[str, CheckedHours] = field(default_factory=dict)
    answer_milliseconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The result of a check; `processes` is None while Redis is away, troubles may be empty.

    The seconds are how long the database and Redis took to answer; None if they did not.
    """

    interval_seconds: int
    tickers: Sequence[Freshness]
    clocks: Sequence[Clocks] = ()
    processes: ProcessReports | None = None
    database_trouble: str = ""
    broker_trouble: str = ""
    database_seconds: float | None = None
    broker_seconds: float | None = None

    @property
    def is_fresh(self) -> bool:
        """Return whether every ticker is fresh."""
        return all(ticker.is_fresh for ticker in self.tickers)

    def beat_trouble(self) -> str:
        """Describe a silence of beat; empty if there is none, or nothing is known."""
        if self.processes is None:
            return ""
        if not self.processes.beats:
            return "" if self.is_fresh else "no beat has reported"
        silence = min(self.processes.beats.values())
        return f"beat has been silent for {silence:.0f} s" if self._is_silent(silence) else ""

    def worker_trouble(self) -> str:
        """Describe a silence of all workers; empty if there is none, or nothing is known."""
        if self.processes is None:
            return ""
        if not self.processes.workers:
            return "" if self.is_fresh else "no worker has reported"
        silence = min(self.processes.workers.values())
        return f"no worker has reported for {silence:.0f} s" if self._is_silent(silence) else ""

    def silent_workers(self) -> Mapping[str, float]:
        """Return the silent workers with the seconds since their last heartbeat."""
        workers = self.processes.workers if self.processes else {}
        return {name: silence for name, silence in workers.items() if self._is_silent(silence)}

    def reason(self, key: TickerKey) -> StaleReason:
        """Explain why a ticker is stale; what the rest depends on comes first."""
        return next((reason for reason in self._reasons(key) if reason.text), NO_REASON)

    def _reasons(self, key: TickerKey) -> Iterator[StaleReason]:
        failures = self._lasting_failures()
        yield StaleReason("database_unavailable", self._database_reason())
        is_full = any(failure.code == DISK_FULL for failure in failures.values())
        yield StaleReason(DISK_FULL, "the database refuses writes: disk full" if is_full else "")
        if trouble := self.broker_trouble:
            text = trouble if " refuses " in trouble else "the broker is away"
            yield StaleReason("broker_unavailable", text)
        yield StaleReason("beat_silent", self.beat_trouble())
        yield StaleReason("worker_silent", self.worker_trouble())
        if failure := failures.get(str(key)):
            text = f"{failure.code} ({failure.detail}) since {failure.since_seconds:.0f} s"
            yield StaleReason(failure.code, text)

    def _database_reason(self) -> str:
        if not self.database_trouble:
            return ""
        if self.database_trouble == NO_ANSWER_IN_TIME:
            return "the database gave no answer in time"  # it may be there, and a table locked
        if self.database_trouble.startswith(STATEMENT_ENDED):
            return "the database ends what it is asked"
        if DOES_NOT_ANSWER in self.database_trouble:
            return "the database is away"
        return f"the database can't be read ({self.database_trouble})"

    def _lasting_failures(self) -> Mapping[str, Failure]:
        max_age = failure_lasts_seconds(self.interval_seconds)
        failures = self.processes.failures if self.processes else {}
        return {key: one for key, one in failures.items() if one.last_seconds <= max_age}

    def _is_silent(self, seconds: float) -> bool:
        return seconds > silent_after_seconds(self.interval_seconds)


def silent_after_seconds(interval_seconds: int) -> float:
    """Return after how many seconds without a heartbeat a process counts as silent."""
    return min(max(MIN_SILENCE_SECONDS, interval_seconds / 2), MAX_SILENCE_SECONDS)


def failure_lasts_seconds(interval_seconds: int) -> float:
    """Return how long a recorded failure holds without being recorded again.

    A failing ticker is recorded at least once an interval. A failure from before a stored price is
    over by the time that price becomes stale, two intervals later.
    """
    return max(MIN_FAILURE_SECONDS, 2.0 * interval_seconds)


def _format_offset(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'behind' if seconds < 0 else 'ahead of'}"
