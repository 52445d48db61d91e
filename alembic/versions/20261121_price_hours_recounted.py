"""Keep the summaries right under statements that add, change and remove rows in one, see ADR 14.

Revision: 20261121_price_hours_recounted, after 20261120_price_changes
"""

from pathlib import Path
from runpy import run_path

import sqlalchemy as sa
from alembic import op

revision = "20261121_price_hours_recounted"
down_revision = "20261120_price_changes"
branch_labels = None
depends_on = None

COLUMNS = """
    exchange, ticker, hour, open, high, low, close,
    first_slot, last_slot, samples, backfilled, imported, grid_seconds
"""
SUMMARY = """
    (array_agg(price ORDER BY timestamp))[1] AS open, max(price) AS high, min(price) AS low,
    (array_agg(price ORDER BY timestamp DESC))[1] AS close,
    min(timestamp) AS first_slot, max(timestamp) AS last_slot, count(*) AS samples,
    count(*) FILTER (WHERE source = 'backfill') AS backfilled,
    count(*) FILTER (WHERE source = 'import') AS imported,
    price_grid(timestamp) AS grid_seconds
"""
SET_SUMMARY = """
    open = {0}.open, high = {0}.high, low = {0}.low, close = {0}.close,
    first_slot = {0}.first_slot, last_slot = {0}.last_slot,
    samples = {0}.samples, backfilled = {0}.backfilled,
    imported = {0}.imported, grid_seconds = {0}.grid_seconds
"""
HOURS = "SELECT exchange, ticker, timestamp - timestamp % 3600 AS hour FROM"
# OFFSET 0 keeps the planner from joining: hour by hour, by the index.
ROWS_OF_STALE = """
    FROM prices
    WHERE prices.exchange = stale.exchange AND prices.ticker = stale.ticker
      AND prices.timestamp >= stale.hour AND prices.timestamp < stale.hour + 3600
    OFFSET 0
"""

# Locks or creates the summaries in one order, whatever the statement, then counts. A lock on an
# hour that has no summary is its insertion: whoever waits for it finds it, or inserts it himself.
# Each statement sees what was committed before it, and nobody commits rows of a locked hour. At
# stricter isolation it does not see that; there, a summary that another transaction removed must
# end this one, or its old rows would be counted. It is seen beside the new one, so no join may
# trust the primary key and stop at the first.
RECOUNT = """
    INSERT INTO price_hours AS kept ({columns})
    SELECT exchange, ticker, hour, 0, 0, 0, 0, hour, hour, 0, 0, 0, 86400
    FROM ({stale}) AS stale ORDER BY exchange, ticker, hour
    ON CONFLICT (exchange, ticker, hour) DO UPDATE SET samples = kept.samples WHERE false;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM FROM ({stale}) AS stale CROSS JOIN LATERAL (
            SELECT FROM price_hours AS kept
            WHERE kept.exchange = stale.exchange AND kept.ticker = stale.ticker
              AND kept.hour = stale.hour
            OFFSET 0 FOR UPDATE
        ) AS seen;
    END IF;
    UPDATE price_hours AS kept SET {set_summary}
    FROM ({stale}) AS stale CROSS JOIN LATERAL (
        SELECT {summary} FROM (SELECT * {rows_of_stale}) AS kept_rows HAVING count(*) > 0
    ) AS counted
    WHERE (kept.exchange, kept.ticker, kept.hour) = (stale.exchange, stale.ticker, stale.hour);
    DELETE FROM price_hours AS kept USING ({stale}) AS stale
    WHERE (kept.exchange, kept.ticker, kept.hour) = (stale.exchange, stale.ticker, stale.hour)
      AND NOT EXISTS (SELECT {rows_of_stale});
"""
RECOUNT_ADDED, RECOUNT_REMOVED, RECOUNT_CHANGED = (
    RECOUNT.format(
        columns=COLUMNS,
        stale=stale,
        set_summary=SET_SUMMARY.format("counted"),
        summary=SUMMARY,
        rows_of_stale=ROWS_OF_STALE,
    )
    for stale in (
        f"{HOURS} added GROUP BY 1, 2, 3",
        f"{HOURS} removed GROUP BY 1, 2, 3",
        f"{HOURS} removed UNION {HOURS} added",
    )
)

# Adding up is quick, and right where no summary knows the added rows yet: nothing was changed or
# removed in this transaction so far, and the rows lie before or after all that the summary holds.
# Where they don't, the setting tells so: other ways to hear of it would cost every insert.
ADD = f"""
CREATE OR REPLACE FUNCTION price_hours_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('prices.recount', true) IS DISTINCT FROM 'on' THEN
        INSERT INTO price_hours AS kept ({COLUMNS})
        SELECT exchange, ticker, timestamp - timestamp % 3600 AS hour, {SUMMARY}
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
            samples = CASE WHEN excluded.first_slot > kept.last_slot
                             OR excluded.last_slot < kept.first_slot
                           THEN kept.samples + excluded.samples
                           ELSE length(set_config('prices.recount', 'on', true)) END,
            backfilled = kept.backfilled + excluded.backfilled,
            imported = kept.imported + excluded.imported,
            grid_seconds = gcd(kept.grid_seconds, excluded.grid_seconds);
        IF current_setting('prices.recount', true) IS DISTINCT FROM 'on' THEN
            RETURN NULL;
        END IF;
    END IF;
    {RECOUNT_ADDED}
    RETURN NULL;
END $$
"""  # noqa: S608  # put together from the constants above

REMOVE = f"""
CREATE FUNCTION price_hours_remove() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('prices.recount', 'on', true);
    {RECOUNT_REMOVED}
    RETURN NULL;
END $$
"""
CHANGE = f"""
CREATE FUNCTION price_hours_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('prices.recount', 'on', true);
    {RECOUNT_CHANGED}
    RETURN NULL;
END $$
"""

TRIGGERS = (
    """CREATE TRIGGER price_hours_removed AFTER DELETE ON prices REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION price_hours_remove()""",
    """CREATE TRIGGER price_hours_changed AFTER UPDATE ON prices
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION price_hours_change()""",
)

COUNTING = ("price_hours_add", "price_hours_remove", "price_hours_change")
FUNCTIONS = (*COUNTING, "price_hours_empty", "price_changes_note", "price_changes_note_all")
SCHEMA = """
SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid = 'prices'::regclass
"""

# What the old triggers got wrong shows in `samples`: rows counted twice, or not at all.
REMOVE_EMPTY = f"""
DELETE FROM price_hours AS stale WHERE NOT EXISTS (SELECT {ROWS_OF_STALE})
"""  # noqa: S608  # put together from the constants above
WRITE_WRONG = f"""
INSERT INTO price_hours ({COLUMNS})
SELECT stale.*, counted.*
FROM (
    SELECT exchange, ticker, hour
    FROM (
        SELECT exchange, ticker, timestamp - timestamp % 3600 AS hour, count(*) AS samples
        FROM prices GROUP BY 1, 2, 3
    ) AS counted LEFT JOIN price_hours AS kept USING (exchange, ticker, hour)
    WHERE counted.samples IS DISTINCT FROM kept.samples
) AS stale CROSS JOIN LATERAL (SELECT {SUMMARY} FROM (SELECT * {ROWS_OF_STALE}) AS rows) AS counted
ON CONFLICT (exchange, ticker, hour) DO UPDATE SET {SET_SUMMARY.format("excluded")}
"""  # noqa: S608  # put together from the constants above


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")
    for trigger in ("removed", "changed_from", "changed_to"):
        op.execute(f"DROP TRIGGER price_hours_{trigger} ON prices")
    op.execute("DROP FUNCTION price_hours_recount()")
    for statement in (ADD, REMOVE, CHANGE, *TRIGGERS):
        op.execute(statement)
    schema = op.get_bind().scalar(sa.text(SCHEMA))
    for function in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function}() SET search_path = pg_catalog, {schema}, pg_temp")
    for function in COUNTING:  # a plan made while the table was empty would read all of it
        op.execute(f"ALTER FUNCTION {function}() SET enable_seqscan = off")
    op.execute(REMOVE_EMPTY)
    op.execute(WRITE_WRONG)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for trigger in ("removed", "changed"):
        op.execute(f"DROP TRIGGER price_hours_{trigger} ON prices")
    for function in ("remove", "change"):
        op.execute(f"DROP FUNCTION price_hours_{function}()")
    before = run_path(str(Path(__file__).with_name("20261120_price_hours.py")))
    op.execute(before["ADD"].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute(before["RECOUNT"])
    for statement in before["TRIGGERS"][1:4]:
        op.execute(statement)
    for function in ("price_hours_add", "price_hours_empty", "price_changes_note"):
        op.execute(f"ALTER FUNCTION {function}() RESET ALL")
    op.execute("ALTER FUNCTION price_changes_note_all() RESET ALL")
