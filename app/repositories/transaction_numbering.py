"""SQL that names the numbering of transactions: a snapshot means nothing under another one.

Another server and a restored one number transactions anew. Recovery from a crash may reuse the
numbers of transactions whose end was not on disk: a snapshot of before the crash takes those
transactions for visible ones.
"""

from typing import Final

# A clean shutdown keeps the statistics, a crash discards them: their start tells of a crash. An
# administrator's `pg_stat_reset_shared('bgwriter')` looks like a crash: every stream sends `reset`.
_STATISTICS_START: Final = """
    SELECT (1000000 * extract(epoch FROM stats_reset))::bigint FROM pg_stat_bgwriter
"""
# The name of a WAL file begins with the timeline, which a failover or a restore changes.
NUMBERING_KEPT_AT_RESTART: Final = f"""
    concat_ws(
        '-', (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8), ({_STATISTICS_START})
    )
"""  # noqa: S608  # put together from constants
"""A restart keeps this name, so that clients' positions stay valid; standbys can't evaluate it."""
NUMBERING_OF_THIS_RUN: Final = f"""
    concat_ws('-', pg_postmaster_start_time(), ({_STATISTICS_START}))
"""
"""A restart changes this name too; standbys can evaluate it."""
