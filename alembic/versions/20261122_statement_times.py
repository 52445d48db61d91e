"""Stamp rows that other programs insert with the statement's clock, as ours are: ADR 24.

Revision: 20261122_statement_times, after 20261121_streamed_rows

Rows that are there keep the start of their transaction.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_statement_times"
down_revision = "20261121_streamed_rows"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column("prices", "created_at", server_default=sa.text("clock_timestamp()"))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column("prices", "created_at", server_default=sa.text("now()"))
