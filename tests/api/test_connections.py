"""The API's connections to PostgreSQL: pooled and shared by requests."""

import asyncpg

from tests.api.client import ApiClient
from tests.repositories.rows import store

SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"


async def test_requests_share_connections_that_stay_open(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Elsewhere every request made an engine of its own, and connected anew."""
    await store(sql, [60])
    before = await sql.fetchval(SESSIONS)
    for _ in range(12):
        assert (await api.get("/api/v1/prices?ticker=btc_usd")).status == 200
    assert await sql.fetchval(SESSIONS) - before <= 3
