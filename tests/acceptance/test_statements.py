"""Two thousand random statements from four connections, and not one wrong hour."""

from collections.abc import Callable
from random import SystemRandom

import asyncpg
import pytest

from tests.conftest import Servers
from tests.repositories.statements import INSERTS, OTHERS, run_concurrently

pytestmark = pytest.mark.accept

STATEMENTS = 2500


async def test_no_hour_is_wrong_at_any_moment_of_thousands_of_statements(
    servers: Servers, database_name: str, record_property: Callable[[str, object], None]
) -> None:
    seed = SystemRandom().randrange(10**9)
    statements = await run_concurrently(
        lambda: asyncpg.connect(servers.plain_url(database_name)), seed, STATEMENTS
    )
    record_property("statements", dict(statements.done))
    record_property("failed", dict(statements.failed))
    assert statements.done.total() >= STATEMENTS
    assert {*INSERTS, *OTHERS, "copy", "truncate"} <= statements.done.keys()
