"""The sessions whose locks this process's statements wait for."""

from app.postgres.database import RawConnection

_READ = """
    SELECT DISTINCT CASE WHEN blocker.pid IS NULL THEN 'a prepared transaction'
        ELSE format('pid %s, role %s, application "%s"',
                    blocker.pid, blocker.usename, blocker.application_name) END
    FROM pg_stat_activity AS waiting
    CROSS JOIN unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
    LEFT JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid
    WHERE waiting.application_name = current_setting('application_name')
      AND waiting.datname = current_database()
"""


async def read_blocking_sessions(connection: RawConnection) -> list[str]:
    """Return what is known of each session: process id, role and application.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    return [text for (text,) in await connection.fetch(_READ)]
