"""What the commands say of gaps, coverage and quality: lines for people, data for machines."""

import datetime as dt
from collections.abc import Iterator

from app.domain.coverage import Coverage, Outlier, Quality
from app.domain.gaps import Gap
from app.domain.prices import TickerKey
from app.domain.slots import MICROSECONDS

Data = dict[str, object]


def utc(seconds: int | None) -> str:
    """Write a moment in ISO 8601, as every command reads it."""
    if seconds is None:
        return "-"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def gap_line(key: TickerKey, gap: Gap) -> str:
    """Tell of a gap: ticker, first and last slot, how many are missing, why."""
    return f"{key}  {utc(gap.first)}  {utc(gap.last)}  {gap.missing}  {gap.why}"


def gap_data(key: TickerKey, gap: Gap) -> Data:
    """Tell of a gap in the words of `GET /api/v1/coverage`."""
    return {**key._asdict(), "from": gap.first, "to": gap.last, **_missing(gap)}


def report_lines(coverage: Coverage, quality: Quality) -> Iterator[str]:
    """Report on a ticker."""
    tally = coverage.tally
    yield f"{coverage.key}  {utc(tally.first)} to {utc(tally.last)}, every {_every(coverage)}"
    yield (
        f"  expected  {tally.expected:,} slots; stored {tally.stored:,}"
        f" ({tally.live:,} live, {tally.backfilled:,} backfilled, {tally.imported:,} imported)"
    )
    yield f"  missing   {_missing_words(coverage)}"
    yield f"  lateness  {_lateness_words(quality)}"
    yield f"  outliers  {_outlier_words(quality)}"
    for outlier in quality.outliers:
        yield f"            {_move_words(outlier)}"


def report_data(coverage: Coverage, quality: Quality) -> Data:
    """Report on a ticker, for machines; lateness in seconds, moves as fractions."""
    tally, late = coverage.tally, quality.lateness
    return {
        **coverage.key._asdict(),
        "from": tally.first,
        "to": tally.last,
        "interval_seconds": tally.interval_seconds,
        "expected": tally.expected,
        "stored": tally.stored,
        "live": tally.live,
        "backfilled": tally.backfilled,
        "imported": tally.imported,
        "missing": tally.missing,
        "missing_by_reason": coverage.missing_by_reason(),
        "longest_gap": coverage.longest_gap,
        "lateness_seconds": late
        and {
            "p50": late.median_us / MICROSECONDS,
            "p99": late.p99_us / MICROSECONDS,
            "worst": late.worst_us / MICROSECONDS,
        },
        "outlier_bound": quality.bound,
        "outlier_count": quality.outlier_count,
        "outliers": [_outlier_data(outlier) for outlier in quality.outliers],
    }


def _missing(gap: Gap) -> Data:
    return {"missing": gap.missing, "reason": gap.why}


def _every(coverage: Coverage) -> str:
    interval = coverage.tally.interval_seconds
    return "-" if interval is None else f"{interval} s"


def _missing_words(coverage: Coverage) -> str:
    if not coverage.gaps:
        return "nothing"
    reasons = ", ".join(f"{n:,} {why}" for why, n in sorted(coverage.missing_by_reason().items()))
    return (
        f"{coverage.tally.missing:,} slots ({reasons}); at most {coverage.longest_gap:,} in a row"
    )


def _lateness_words(quality: Quality) -> str:
    late = quality.lateness
    if late is None:
        return "no live samples"
    median, p99, worst = (us / MICROSECONDS for us in (late.median_us, late.p99_us, late.worst_us))
    return (
        f"{median:.2f} s after the slot's start (median), {p99:.2f} s (p99), {worst:.2f} s (worst)"
    )


def _outlier_words(quality: Quality) -> str:
    if quality.bound is None:
        return "no two slots in a row to compare"
    return f"{quality.outlier_count:,} moves beyond {quality.bound:.2%} from one slot to the next"


def _move_words(outlier: Outlier) -> str:
    return f"{utc(outlier.slot)}  {outlier.before:f} to {outlier.price:f}  ({outlier.move:+.2%})"


def _outlier_data(outlier: Outlier) -> Data:
    return {
        "timestamp": outlier.slot,
        "price": f"{outlier.price:f}",
        "before": f"{outlier.before:f}",
        "move": outlier.move,
    }
