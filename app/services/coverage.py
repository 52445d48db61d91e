"""Coverage: what was promised, what is there, what is missing and why; and how good it is."""

from collections.abc import Collection

from app.db.session import Database
from app.domain.coverage import Coverage, Quality, Tally
from app.domain.gaps import with_reasons
from app.domain.prices import Span, TickerKey
from app.repositories import gaps, prices, quality, recordings, unfillable

MOST_OUTLIERS = 20


class Accounts:
    """Accounts for every promised slot; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, span: Span, keys: Collection[TickerKey] | None = None) -> list[Coverage]:
        """Account for these tickers, or for all that were ever recorded, as of one moment.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.snapshot() as session:
            wanted = sorted(keys if keys is not None else await recordings.newest(session))
            presents = await prices.presents(session, wanted)
            tallies = await gaps.count(session, presents, span)
            found = await gaps.find(session, presents, span)
            known = await unfillable.between(session, found.keys(), span)
        return [
            Coverage(
                key,
                tallies.get(key, Tally()),
                with_reasons(found.get(key, []), known.get(key, [])),
            )
            for key in wanted
        ]

    async def judge(self, coverage: Coverage, span: Span) -> Quality:
        """Judge the stored prices of a span: their lateness, and moves out of the ordinary.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        interval = coverage.tally.interval_seconds or 0
        async with self._database.snapshot() as session:
            return await quality.judge(session, coverage.key, span, interval, MOST_OUTLIERS)
