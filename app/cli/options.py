"""Options that several commands have, and what they ask for."""

from typing import Annotated

import typer

from app.domain.prices import TickerKey, TimeRange, split_ticker
from app.domain.times import TimePoint, ceil_seconds, floor_seconds, parse_time_point

Ticker = Annotated[
    str | None,
    typer.Option(help="One ticker, such as btc_usd or exchange:ticker; all if left out."),
]
FromMoment = Annotated[
    TimePoint | None,
    typer.Option(
        "--from",
        parser=parse_time_point,
        metavar="MOMENT",
        help="The first moment: UNIX seconds, milliseconds, ISO 8601, now, or back from now: -24h.",
    ),
]
ToMoment = Annotated[
    TimePoint | None,
    typer.Option(
        "--to", parser=parse_time_point, metavar="MOMENT", help="The last moment, inclusive."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def span_between(start: TimePoint | None, end: TimePoint | None) -> TimeRange:
    """Give the period between two moments.

    Raises:
        BadParameter: it is reversed.
    """
    now = _now() if any(one is not None and one.is_relative for one in (start, end)) else 0.0
    start_us, end_us = (None if one is None else one.at(now) for one in (start, end))
    if start_us is not None and end_us is not None and start_us > end_us:
        raise typer.BadParameter("--from must not be after --to")
    first = None if start_us is None else ceil_seconds(start_us)
    return TimeRange(first, None if end_us is None else floor_seconds(end_us))


def _now() -> float:
    from app.runtime import wall_clock

    return wall_clock()


def key_of(ticker: str | None) -> TickerKey | None:
    """Read a ticker that may be preceded by its exchange."""
    if ticker is None:
        return None
    return TickerKey.from_input(ticker)


def split_ticker_option(ticker: str | None, exchange: str | None) -> tuple[str | None, str | None]:
    """Return the exchange and the ticker that are named; `--exchange` counts before a prefix."""
    prefix, name = split_ticker(ticker or "")
    return (exchange or prefix).lower() or None, name or None
