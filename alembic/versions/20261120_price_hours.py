"""Keep a summary of every hour with the rows, and what the exchange could not give.

Revision: 20261120_price_hours, after 20261120_prices
"""

import sqlalchemy as sa
from alembic import op

revision = "20261120_price_hours"
down_revision = "20261120_prices"
branch_labels = None
depends_on = None

# The greatest common divisor of a day and all stamps: rows lie on an interval's grid if it is
# a multiple of the interval.
GRID = """
CREATE AGGREGATE price_grid(bigint) (
    SFUNC = gcd, STYPE = bigint, INITCOND = '86400', COMBINEFUNC = gcd, PARALLEL = SAFE
)
"""

SUMMARIZED = """
    exchange, ticker, timestamp - timestamp % 3600 AS hour,
    (array_agg(price ORDER BY timestamp))[1] AS open, max(price) AS high, min(price) AS low,
    (array_agg(price ORDER BY timestamp DESC))[1] AS close,
    min(timestamp) AS first_slot, max(timestamp) AS last_slot, count(*) AS samples,
    count(*) FILTER (WHERE source = 'backfill') AS backfilled,
    count(*) FILTER (WHERE source = 'import') AS imported,
    price_grid(timestamp) AS grid_seconds
"""

# Always in one order, or two writers with hours in common could wait for one another.
ADD = f"""
CREATE FUNCTION price_hours_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO price_hours AS kept (
        exchange, ticker, hour, open, high, low, close,
        first_slot, last_slot, samples, backfilled, imported, grid_seconds
    )
    SELECT {SUMMARIZED}
    FROM added GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (exchange, ticker, hour) DO UPDATE SET
        open = CASE WHEN excluded.first_slot < kept.first_slot
                    THEN excluded.open ELSE kept.open END,
        high = greatest(kept.high, excluded.high),
        low = least(kept.low, excluded.low),
        close = CASE WHEN excluded.last_slot > kept.last_slot
                     THEN excluded.close ELSE kept.close END,
        first_slot = least(kept.first_slot, excluded.first_slot),
        last_slot = greatest(kept.last_slot, excluded.last_slot),
        samples = kept.samples + excluded.samples,
        backfilled = kept.backfilled + excluded.backfilled,
        imported = kept.imported + excluded.imported,
        grid_seconds = gcd(kept.grid_seconds, excluded.grid_seconds);
    RETURN NULL;
END $$
"""  # noqa: S608  # put together from the constant above

# Also of other hours' rows that are removed or changed by hand. The lock comes first: each
# statement sees what was committed before it, so nothing is added between count and writing.
RECOUNT = f"""
CREATE FUNCTION price_hours_recount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM price_hours
    WHERE (exchange, ticker, hour) IN (
        SELECT exchange, ticker, timestamp - timestamp % 3600 FROM touched
    )
    ORDER BY exchange, ticker, hour FOR UPDATE;
    WITH stale AS (
        SELECT DISTINCT exchange, ticker, timestamp - timestamp % 3600 AS hour FROM touched
    ), found AS (
        SELECT {SUMMARIZED}
        FROM (
            SELECT rows.* FROM stale CROSS JOIN LATERAL (
                SELECT * FROM prices
                WHERE exchange = stale.exchange AND ticker = stale.ticker
                  AND timestamp >= hour AND timestamp < hour + 3600
                OFFSET 0  -- hour by hour, by the index
            ) AS rows
        ) AS kept
        GROUP BY 1, 2, 3
    ), emptied AS (
        DELETE FROM price_hours USING stale
        WHERE price_hours.exchange = stale.exchange AND price_hours.ticker = stale.ticker
          AND price_hours.hour = stale.hour
          AND NOT EXISTS (
              SELECT FROM found WHERE found.exchange = stale.exchange
                AND found.ticker = stale.ticker AND found.hour = stale.hour
          )
    )
    INSERT INTO price_hours (
        exchange, ticker, hour, open, high, low, close,
        first_slot, last_slot, samples, backfilled, imported, grid_seconds
    )
    SELECT * FROM found ORDER BY 1, 2, 3
    ON CONFLICT (exchange, ticker, hour) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        first_slot = excluded.first_slot, last_slot = excluded.last_slot,
        samples = excluded.samples, backfilled = excluded.backfilled,
        imported = excluded.imported, grid_seconds = excluded.grid_seconds;
    RETURN NULL;
END $$
"""  # noqa: S608  # put together from the constant above

FILL = f"INSERT INTO price_hours SELECT {SUMMARIZED} FROM prices GROUP BY 1, 2, 3"  # noqa: S608  # same

EMPTY = """
CREATE FUNCTION price_hours_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE price_hours;
    RETURN NULL;
END $$
"""

TRIGGERS = (
    """CREATE TRIGGER price_hours_added AFTER INSERT ON prices
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION price_hours_add()""",
    """CREATE TRIGGER price_hours_removed AFTER DELETE ON prices
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION price_hours_recount()""",
    """CREATE TRIGGER price_hours_changed_from AFTER UPDATE ON prices
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION price_hours_recount()""",
    """CREATE TRIGGER price_hours_changed_to AFTER UPDATE ON prices
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION price_hours_recount()""",
    """CREATE TRIGGER price_hours_emptied AFTER TRUNCATE ON prices
    FOR EACH STATEMENT EXECUTE FUNCTION price_hours_empty()""",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")
    op.create_table(
        "price_hours",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("open", sa.Numeric(), nullable=False),
        sa.Column("high", sa.Numeric(), nullable=False),
        sa.Column("low", sa.Numeric(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("first_slot", sa.BigInteger(), nullable=False),
        sa.Column("last_slot", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("backfilled", sa.BigInteger(), nullable=False),
        sa.Column("imported", sa.BigInteger(), nullable=False),
        sa.Column("grid_seconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("exchange", "ticker", "hour"),
        # an hour is written again with each of its rows: room for the new version beside the old
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "unfillable",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("first_slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_slot", sa.BigInteger(), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("exchange", "ticker", "first_slot"),
    )
    for statement in (GRID, ADD, RECOUNT, EMPTY, *TRIGGERS):
        op.execute(statement)
    op.execute(FILL)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for trigger in ("added", "removed", "changed_from", "changed_to", "emptied"):
        op.execute(f"DROP TRIGGER price_hours_{trigger} ON prices")
    for function in ("add", "recount", "empty"):
        op.execute(f"DROP FUNCTION price_hours_{function}()")
    op.execute("DROP AGGREGATE price_grid(bigint)")
    op.drop_table("unfillable")
    op.drop_table("price_hours")
