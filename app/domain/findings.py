"""What `doctor` finds: the state of each thing, what is wrong with it, and what to do."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Self

from app.domain.health import DISK_FULL, HealthReport
from app.domain.health_checks import Check, collector_checks

_START_BEAT: Final = "start one: `python -m app beat`"
_START_WORKER: Final = "start one: `python -m app worker`"
_CORRECT_CLOCK: Final = "correct the clock of the database's machine, by NTP"
_CHECK_ADDRESS: Final = "check DERIBIT_BASE_URL: another server seems to answer there"
_CHECK_NETWORK: Final = "check this machine's network, DERIBIT_BASE_URL and PROXY_URL"
_REMEDIES: Final[Mapping[str, str]] = {
    "beat": _START_BEAT,
    "worker": _START_WORKER,
    "clock": _CORRECT_CLOCK,
    "beat_silent": _START_BEAT,
    "worker_silent": _START_WORKER,
    DISK_FULL: "free space on the database's disk",
    "database_blocked": "end the session that holds the lock; the worker's log names it",
    "exchange_unreachable": _CHECK_NETWORK,
    "exchange_timeout": _CHECK_NETWORK,
    "exchange_answer_malformed": _CHECK_ADDRESS,
    "exchange_redirect_refused": _CHECK_ADDRESS,
    "exchange_request_rejected": _CHECK_ADDRESS,
    "exchange_environment_mismatch": "correct DERIBIT_BASE_URL",
    "exchange_stamp_refused": _CORRECT_CLOCK,
    "exchange_unknown_index": "correct TICKERS",
    "proxy_refused": "correct PROXY_USERNAME and PROXY_PASSWORD",
    "nothing_reported": "read the logs of beat and worker",
}
"""What to do, by the name of a check, the code of an error or of a stale ticker's reason."""
_WAIT: Final = "wait: the worker keeps trying, and the repair fills what it misses"
_ORDER: Final = (
    *("settings", "spelling", "disk", "database", "schema", "broker"),
    *("exchange", "clock", "beat", "worker", "tickers"),
)
"""The order of the findings; those of single tickers come last."""
_NEEDED_FOR: Final[Collection[tuple[str, Collection[str]]]] = (
    ("settings", _ORDER[2:]),
    ("database", ("schema", "clock", "tickers")),
    ("broker", ("exchange", "beat", "worker", "database", "schema", "clock")),
    ("database", ("broker", "exchange", "beat", "worker")),  # if its address is unknown
)
"""What may be unchecked because a thing fails; what was checked all the same has a finding."""


class State(StrEnum):
    """Whether a thing works; `skipped` if that could not be checked."""

    OK = "ok"
    FAILING = "failing"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """The state of one thing, in words; the remedy is empty if the detail says what to do."""

    name: str
    state: State
    detail: str
    remedy: str = ""

    @classmethod
    def ok(cls, name: str, detail: str) -> Self:
        """Return a finding of a thing that works."""
        return cls(name, State.OK, detail)

    @classmethod
    def failing(cls, name: str, detail: str, remedy: str = "") -> Self:
        """Return a finding of a thing that does not work; detail and remedy become one line."""
        return cls(name, State.FAILING, " ".join(detail.split()), remedy)

    @property
    def text(self) -> str:
        """The detail and the remedy in one line."""
        return f"{self.detail}; {self.remedy}" if self.remedy else self.detail


def remedy_of(code: str) -> str:
    """Return what to do about an error, a stale ticker's reason or a failing check."""
    return _REMEDIES.get(code, _WAIT if code.startswith("exchange_") else "")


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Return whether nothing fails and everything could be checked."""
    return all(finding.state is State.OK for finding in findings)


def collector_findings(report: HealthReport) -> Iterator[Finding]:
    """Return what a health report says of tickers, processes and clocks, with remedies.

    Without the database the tickers are left out: nothing is known of them.
    """
    tickers = {str(ticker.key) for ticker in report.tickers}
    for check in collector_checks(report):
        if check.name in tickers and report.database_trouble:
            continue
        if check.is_ok:
            yield Finding.ok(check.name, check.detail)
        else:
            yield Finding.failing(check.name, check.detail, _remedy(check, report))


def complete(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings, and add what was not checked because something that it needs fails.

    Of several findings of one thing the last one counts.
    """
    found = {finding.name: finding for finding in findings}
    for needed, names in _NEEDED_FOR:
        if needed in found and found[needed].state is State.FAILING:
            found = _skipped(names, needed) | found
    return sorted(found.values(), key=_position)


def _skipped(names: Iterable[str], needed: str) -> dict[str, Finding]:
    detail = f"not checked, because {needed} fails"
    return {name: Finding(name, State.SKIPPED, detail) for name in names}


def _position(finding: Finding) -> int:
    return _ORDER.index(finding.name) if finding.name in _ORDER else len(_ORDER)


def _remedy(check: Check, report: HealthReport) -> str:
    reasons = {str(ticker.key): report.reason(ticker.key).code for ticker in report.tickers}
    return remedy_of(reasons.get(check.name, check.name))
