"""Note which slots a transaction changed, so that whoever remembers rows learns of it.

Revision: 20261120_price_changes, after 20261120_price_hours
"""

import sqlalchemy as sa
from alembic import op

revision = "20261120_price_changes"
down_revision = "20261120_price_hours"
branch_labels = None
depends_on = None

# One function for every kind of change: `touched` are the rows added, removed, or both of one.
NOTE = """
CREATE FUNCTION price_changes_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO price_changes (exchange, ticker, first_slot, last_slot)
    SELECT exchange, ticker, min(timestamp), max(timestamp) FROM touched GROUP BY 1, 2;
    IF FOUND THEN
        NOTIFY price_changes;
    END IF;
    RETURN NULL;
END $$
"""
NOTE_ALL = """
CREATE FUNCTION price_changes_note_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO price_changes DEFAULT VALUES;
    NOTIFY price_changes;
    RETURN NULL;
END $$
"""
TRIGGERS = (
    """CREATE TRIGGER price_changes_added AFTER INSERT ON prices
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION price_changes_note()""",
    """CREATE TRIGGER price_changes_removed AFTER DELETE ON prices
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION price_changes_note()""",
    """CREATE TRIGGER price_changes_changed_from AFTER UPDATE ON prices
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION price_changes_note()""",
    """CREATE TRIGGER price_changes_changed_to AFTER UPDATE ON prices
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION price_changes_note()""",
    """CREATE TRIGGER price_changes_emptied AFTER TRUNCATE ON prices
    FOR EACH STATEMENT EXECUTE FUNCTION price_changes_note_all()""",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "price_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "transaction",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
        ),
        sa.Column("exchange", sa.Text(), nullable=True),
        sa.Column("ticker", sa.Text(), nullable=True),
        sa.Column("first_slot", sa.BigInteger(), nullable=True),
        sa.Column("last_slot", sa.BigInteger(), nullable=True),
        sa.Column(
            "noted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_price_changes_transaction", "price_changes", ["transaction"])
    for statement in (NOTE, NOTE_ALL, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for trigger in ("added", "removed", "changed_from", "changed_to", "emptied"):
        op.execute(f"DROP TRIGGER price_changes_{trigger} ON prices")
    op.execute("DROP FUNCTION price_changes_note()")
    op.execute("DROP FUNCTION price_changes_note_all()")
    op.drop_table("price_changes")
