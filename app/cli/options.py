"""Options that several commands share, and how their values are parsed."""

from typing import Annotated

import typer

from app.domain.prices import TimeRange, split_ticker
from app.domain.times import TimePoint, parse_time_point, resolve_range

TickerOption = Annotated[
    str | None,
    typer.Option(help="One ticker, such as btc_usd or exchange:ticker; all if left out."),
]
FromOption = Annotated[
    TimePoint | None,
    typer.Option(
        "--from",
        parser=parse_time_point,
        metavar="MOMENT",
        help="The first moment: UNIX seconds, milliseconds, ISO 8601, now, or relative: -3h30m.",
    ),
]
ToOption = Annotated[
    TimePoint | None,
    typer.Option(
        "--to", parser=parse_time_point, metavar="MOMENT", help="The last moment, inclusive."
    ),
]
AsOfOption = Annotated[
    TimePoint | None,
    typer.Option(
        "--as-of",
        parser=parse_time_point,
        metavar="MOMENT",
        help="Only rows that were stored by this moment.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def parse_range(start: TimePoint | None, end: TimePoint | None) -> TimeRange:
    """Return the range of time between the options --from and --to.

    Raises:
        BadParameter: it is reversed.
    """
    from app.runtime import wall_clock

    try:
        return resolve_range(start, end, wall_clock())
    except ValueError:
        raise typer.BadParameter("--from must not be after --to") from None


def resolve_time(moment: TimePoint | None) -> int | None:
    """Return a moment in microseconds since the epoch; None if it is left out."""
    from app.runtime import wall_clock

    return None if moment is None else moment.at(wall_clock())


def split_ticker_options(ticker: str | None, exchange: str | None) -> tuple[str | None, str | None]:
    """Return exchange and ticker in lower case, None where the options do not name them.

    The option `--exchange` comes before the prefix of a ticker such as `exchange:ticker`.
    """
    prefix, name = split_ticker(ticker or "")
    return (exchange or prefix).lower() or None, name or None
