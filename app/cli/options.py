"""Options that several commands have, and what they ask for."""

from typing import Annotated

import typer

from app.domain.prices import Span, TickerKey
from app.domain.times import parse_moment, seconds_from, seconds_until

DEFAULT_EXCHANGE = "deribit"

Ticker = Annotated[
    str | None,
    typer.Option(help="One ticker, such as btc_usd or exchange:ticker; all if left out."),
]
FromMoment = Annotated[
    int | None,
    typer.Option(
        "--from",
        parser=parse_moment,
        metavar="MOMENT",
        help="The first moment: UNIX seconds, milliseconds or ISO 8601.",
    ),
]
ToMoment = Annotated[
    int | None,
    typer.Option("--to", parser=parse_moment, metavar="MOMENT", help="The last moment, inclusive."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def span_between(from_us: int | None, to_us: int | None) -> Span:
    """Give the period between two moments.

    Raises:
        BadParameter: it is reversed.
    """
    if from_us is not None and to_us is not None and from_us > to_us:
        raise typer.BadParameter("--from must not be after --to")
    start = None if from_us is None else seconds_from(from_us)
    return Span(start, None if to_us is None else seconds_until(to_us))


def key_of(ticker: str | None) -> TickerKey | None:
    """Read a ticker that may be preceded by its exchange."""
    if ticker is None:
        return None
    exchange, _, name = ticker.lower().rpartition(":")
    return TickerKey(exchange or DEFAULT_EXCHANGE, name)
