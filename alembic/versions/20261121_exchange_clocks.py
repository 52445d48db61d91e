"""Remember how far each exchange's clock is ahead of the hosts' steady ones.

Revision: 20261121_exchange_clocks, after 20261121_recording_changes
"""

import sqlalchemy as sa
from alembic import op

revision = "20261121_exchange_clocks"
down_revision = "20261121_recording_changes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "exchange_clocks",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("offset_us", sa.BigInteger(), nullable=True),
        sa.Column("former_offset_us", sa.BigInteger(), nullable=True),
        sa.Column("doubted_offset_us", sa.BigInteger(), nullable=True),
        sa.Column("doubted_since_us", sa.BigInteger(), nullable=True),
        sa.Column(
            "noted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("exchange", "host"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("exchange_clocks")
