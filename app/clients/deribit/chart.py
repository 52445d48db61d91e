"""Deribit's chart of an index, parsed from the response to get_index_chart_data.

Its result is `[[timestamp in ms, mean price], …]`, ascending; the steps are not documented, and the
hour that was recorded has one point every six seconds (docs/repair.md).
"""

from decimal import Decimal
from itertools import pairwise
from typing import Final

from app.clients.deribit.json_rpc import Envelope
from app.clients.price_parsing import parse_price
from app.core.errors import AnswerMalformed
from app.domain.charts import Chart, ChartRange
from app.domain.slots import SECONDS_PER_DAY

CHART_RANGES: Final = (
    ChartRange("1h", 3_600, 6),
    ChartRange("1d", SECONDS_PER_DAY, 60),
    ChartRange("2d", 2 * SECONDS_PER_DAY, 300),
    ChartRange("1m", 30 * SECONDS_PER_DAY, 3_600),
    ChartRange("1y", 365 * SECONDS_PER_DAY, SECONDS_PER_DAY),
    ChartRange("all", None, SECONDS_PER_DAY),
)
"""With their usual steps (docs/repair.md), which decide only how long a repair waits for points."""
MAX_FUTURE_US: Final = SECONDS_PER_DAY * 1_000_000
"""A point may carry the end of the current step; the longest known step is a day."""


def parse_chart(envelope: Envelope) -> Chart:
    """Parse a chart; one malformed point makes the whole chart malformed.

    Raises:
        AnswerMalformed: it is not a list of ascending points that ends about now.
        PriceRefused: a price is out of range.
    """
    exchange_now_us = envelope.observed_us
    if exchange_now_us is None:
        raise AnswerMalformed("a chart without usOut can't be placed in time")
    if not isinstance(envelope.result, list):
        raise AnswerMalformed("the chart is no list")
    points = [_parse_point(point) for point in envelope.result]
    timestamps_us = [timestamp_us for timestamp_us, _ in points]
    if any(later <= earlier for earlier, later in pairwise(timestamps_us)):
        raise AnswerMalformed("the points of the chart do not ascend")
    if timestamps_us and timestamps_us[-1] > exchange_now_us + MAX_FUTURE_US:
        raise AnswerMalformed("the chart reaches into the future")
    return Chart(timestamps_us, [price for _, price in points], exchange_now_us)


def _parse_point(point: object) -> tuple[int, Decimal]:
    """Parse a point; return its timestamp in microseconds, and its price."""
    match point:
        case [int(timestamp_ms), price] if not isinstance(timestamp_ms, bool) and timestamp_ms > 0:
            return timestamp_ms * 1_000, parse_price(price)
    raise AnswerMalformed("a point of the chart is no pair of a stamp and a price")
