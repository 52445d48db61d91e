"""Note in `price_changes` which rows were added, for the stream tells each of them (ADR 20).

A note is kept until its transaction has been over for an hour. `oldest_running` tells when that is:
every transaction before it was over when its note was made.

Revision: 20261121_streamed_rows, after 20261121_sound_rows
"""

import sqlalchemy as sa
from alembic import op

revision = "20261121_streamed_rows"
down_revision = "20261121_sound_rows"
branch_labels = None
depends_on = None

# A note covers ten hours at most, so that a reader of a huge statement can take it in pieces.
NOTE_ADDED = """
CREATE FUNCTION price_changes_note_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO price_changes (exchange, ticker, first_slot, last_slot, added_slots)
    SELECT exchange, ticker, min(timestamp), max(timestamp), array_agg(timestamp)
    FROM touched GROUP BY exchange, ticker, timestamp / 36000;
    IF FOUND THEN
        NOTIFY price_changes;
    END IF;
    RETURN NULL;
END $$
"""
SCHEMA = """
SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid = 'prices'::regclass
"""
TRIGGER = """
CREATE TRIGGER price_changes_added AFTER INSERT ON prices REFERENCING NEW TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION {}()
"""
OLDEST_RUNNING = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("price_changes", sa.Column("added_slots", sa.ARRAY(sa.BigInteger())))
    op.add_column("price_changes", sa.Column("oldest_running", sa.BigInteger()))
    op.alter_column("price_changes", "oldest_running", server_default=sa.text(OLDEST_RUNNING))
    op.alter_column("price_changes", "noted_at", server_default=sa.text("clock_timestamp()"))
    op.execute(NOTE_ADDED)
    schema = op.get_bind().scalar(sa.text(SCHEMA))  # whatever the writer's path
    op.execute(
        f"ALTER FUNCTION price_changes_note_added() SET search_path = pg_catalog, {schema}, pg_temp"
    )
    op.execute("DROP TRIGGER price_changes_added ON prices")
    op.execute(TRIGGER.format("price_changes_note_added"))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER price_changes_added ON prices")
    op.execute(TRIGGER.format("price_changes_note"))
    op.execute("DROP FUNCTION price_changes_note_added()")
    op.alter_column("price_changes", "noted_at", server_default=sa.text("now()"))
    op.drop_column("price_changes", "oldest_running")
    op.drop_column("price_changes", "added_slots")
