"""The sessions whose locks the statements of a process wait for."""

from collections.abc import Sequence

from app.postgres.database import RawConnection

_READ = """
    SELECT DISTINCT CASE WHEN blocking.pid = 0 THEN 'a prepared transaction'
        ELSE format('pid %s, role %s, application "%s"',
                    blocker.pid, blocker.usename, blocker.application_name) END
    FROM unnest($1::int[]) AS waiting (pid)
    CROSS JOIN unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
    LEFT JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid
    WHERE blocking.pid = 0 OR blocker.pid IS NOT NULL
"""


async def describe_blocking_sessions(
    connection: RawConnection, waiting_pids: Sequence[int]
) -> list[str]:
    """Return the process id, role and application of each session that some of ours wait for.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    return [text for (text,) in await connection.fetch(_READ, waiting_pids)]
