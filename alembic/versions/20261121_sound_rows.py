"""Refuse rows that no answer could be made of: unknown sources, no numbers, impossible times.

Revision: 20261121_sound_rows, after 20261121_exchange_clocks

What is there already is left alone, and the tables need not be read.
"""

from alembic import op

revision = "20261121_sound_rows"
down_revision = "20261121_exchange_clocks"
branch_labels = None
depends_on = None

LAST_SECOND = 253_402_300_799  # of the year 9999
CONSTRAINTS = {
    "prices": {
        "prices_source_known": "source IN ('live', 'backfill', 'import')",
        "prices_price_finite": "price >= 0 AND price < 'Infinity'",  # NaN is above infinity
        "prices_timestamp_in_range": f"timestamp BETWEEN 0 AND {LAST_SECOND}",
    },
    "recordings": {
        "recordings_interval_in_range": "interval_seconds BETWEEN 1 AND 86400",
        "recordings_slots_in_range": f"first_slot BETWEEN 0 AND {LAST_SECOND} "
        f"AND (last_slot IS NULL OR last_slot BETWEEN 0 AND {LAST_SECOND})",
    },
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, constraints in CONSTRAINTS.items():
        for name, condition in constraints.items():
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, constraints in CONSTRAINTS.items():
        for name in constraints:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
