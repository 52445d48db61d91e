"""Keep prices and recordings.

Revision: 20261120_prices, the first
"""

import sqlalchemy as sa
from alembic import op

revision = "20261120_prices"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "prices",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("observed_us", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("exchange", "ticker", "timestamp"),
    )
    op.create_table(
        "recordings",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("first_slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_slot", sa.BigInteger(), nullable=True),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("exchange", "ticker", "first_slot"),
    )
    op.create_index(
        "recordings_one_open",
        "recordings",
        ["exchange", "ticker"],
        unique=True,
        postgresql_where=sa.text("last_slot IS NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("recordings")
    op.drop_table("prices")
