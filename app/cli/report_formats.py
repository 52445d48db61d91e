"""Gaps, coverage and quality as text for people and as data for `--json`."""

from collections.abc import Iterator

from app.domain.coverage import Coverage, Outlier, Quality
from app.domain.gaps import Gap
from app.domain.prices import TickerKey
from app.domain.slots import MICROSECONDS
from app.domain.times import format_utc

Data = dict[str, object]
GAP_COLUMNS = ("ticker", "first slot", "last slot", "missing", "reason")


def utc_or_dash(seconds: int | None) -> str:
    """Format UNIX seconds in ISO 8601, UTC; None becomes a dash."""
    return "-" if seconds is None else format_utc(seconds)


def gap_row(key: TickerKey, gap: Gap) -> tuple[str, ...]:
    """Format a gap as the cells of GAP_COLUMNS."""
    first, last = utc_or_dash(gap.first), utc_or_dash(gap.last)
    return str(key), first, last, str(gap.missing), gap.reason_code


def gap_data(key: TickerKey, gap: Gap) -> Data:
    """Return a gap with the field names of `GET /api/v1/coverage`."""
    return {
        **key._asdict(),
        "from": gap.first,
        "to": gap.last,
        "missing": gap.missing,
        "reason": gap.reason_code,
    }


def report_title(coverage: Coverage) -> str:
    """Format what the report on a ticker is about."""
    counts = coverage.slot_counts
    first, last = utc_or_dash(counts.first), utc_or_dash(counts.last)
    interval = "-" if counts.interval_seconds is None else f"{counts.interval_seconds} s"
    return f"{coverage.key}  {first} to {last}, every {interval}"


def report_rows(coverage: Coverage, quality: Quality) -> Iterator[tuple[str, str]]:
    """Format the report on a ticker as labels and texts."""
    counts = coverage.slot_counts
    sources = (
        f"{counts.live:,} live, {counts.backfilled:,} backfilled, {counts.imported:,} imported"
    )
    yield "expected", f"{counts.expected:,} slots; stored {counts.stored:,} ({sources})"
    yield "missing", _format_missing(coverage)
    yield "lateness", _format_lateness(quality)
    yield "outliers", _format_outliers(quality)
    for outlier in quality.outliers:
        yield "", _format_move(outlier)


def report_data(coverage: Coverage, quality: Quality) -> Data:
    """Return the report on a ticker; lateness in seconds, moves as fractions."""
    counts = coverage.slot_counts
    return {
        **coverage.key._asdict(),
        "from": counts.first,
        "to": counts.last,
        "interval_seconds": counts.interval_seconds,
        "expected": counts.expected,
        "stored": counts.stored,
        "live": counts.live,
        "backfilled": counts.backfilled,
        "imported": counts.imported,
        "missing": counts.missing,
        "missing_by_reason": coverage.missing_by_reason(),
        "longest_gap": coverage.longest_gap,
        "lateness_seconds": _lateness_seconds(quality),
        "outlier_bound": quality.bound,
        "outlier_count": quality.outlier_count,
        "outliers": [_outlier_data(outlier) for outlier in quality.outliers],
    }


def _format_missing(coverage: Coverage) -> str:
    if not coverage.gaps:
        return "nothing"
    reasons = ", ".join(f"{n:,} {why}" for why, n in sorted(coverage.missing_by_reason().items()))
    missing = coverage.slot_counts.missing
    return f"{missing:,} slots ({reasons}); at most {coverage.longest_gap:,} in a row"


def _lateness_seconds(quality: Quality) -> dict[str, float] | None:
    lateness = quality.lateness
    if lateness is None:
        return None
    times_us = {"p50": lateness.median_us, "p99": lateness.p99_us, "worst": lateness.worst_us}
    return {name: us / MICROSECONDS for name, us in times_us.items()}


def _format_lateness(quality: Quality) -> str:
    text = "{p50:.2f} s after the slot's start (median), {p99:.2f} s (p99), {worst:.2f} s (worst)"
    lateness = _lateness_seconds(quality)
    return "no live samples" if lateness is None else text.format(**lateness)


def _format_outliers(quality: Quality) -> str:
    if quality.bound is None:
        return "no two slots in a row to compare"
    return f"{quality.outlier_count:,} moves beyond {quality.bound:.2%} from one slot to the next"


def _format_move(outlier: Outlier) -> str:
    slot = utc_or_dash(outlier.slot)
    return f"{slot}  {outlier.before:f} to {outlier.price:f}  ({outlier.move:+.2%})"


def _outlier_data(outlier: Outlier) -> Data:
    return {
        "timestamp": outlier.slot,
        "price": f"{outlier.price:f}",
        "before": f"{outlier.before:f}",
        "move": outlier.move,
    }
