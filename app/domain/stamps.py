"""Stamps of an exchange: which are believed, and which are asked for again.

The exchange's clock is right by definition, but a single answer of it may not be. What the last
row says of its present, carried on by the database's clock, is a second opinion: where the two are
far apart, either the answer is wrong or the database's clock was set, and a second answer tells.
"""

from app.domain.slots import MICROSECONDS

SHORTEST_DOUBT_SECONDS = 60
LONGEST_DOUBT_SECONDS = 300
AGREEMENT_SECONDS = 5


def is_doubtful(
    observed_us: int, present_us: int | None, database_us: int, interval_seconds: int
) -> bool:
    """Tell whether a stamp is further from the supposed present than two intervals (1 to 5 min).

    Where no row tells of the present, the database's clock does, and 5 min are allowed.
    """
    if present_us is None:
        return abs(observed_us - database_us) > LONGEST_DOUBT_SECONDS * MICROSECONDS
    limit = min(max(2 * interval_seconds, SHORTEST_DOUBT_SECONDS), LONGEST_DOUBT_SECONDS)
    return abs(observed_us - present_us) > limit * MICROSECONDS


def agree(observed_us: int, expected_us: int) -> bool:
    """Tell whether a second stamp is what the first one lets expect."""
    return abs(observed_us - expected_us) <= AGREEMENT_SECONDS * MICROSECONDS
