"""Remember what a chart may still give, and let it be asked again for what it lacked of late.

Revision: 20261121_repair_retries, after 20261121_price_hours_recounted
"""

import sqlalchemy as sa
from alembic import op

revision = "20261121_repair_retries"
down_revision = "20261121_price_hours_recounted"
branch_labels = None
depends_on = None

# Charts reach two days back at steps of minutes. What was refused of them may have been refused
# because a chart was partial for a moment; what is refused once more is remembered again.
ASK_AGAIN = """
DELETE FROM unfillable
WHERE last_slot > extract(epoch FROM now()) - 172800 AND reason <> 'before_chart'
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "repair_retries",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("first_slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_slot", sa.BigInteger(), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("exchange", "ticker", "first_slot"),
    )
    op.execute(ASK_AGAIN)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("repair_retries")
