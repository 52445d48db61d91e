"""Note in `price_changes` what recordings promise anew, for lists are complete by them (ADR 13).

Revision: 20261121_recording_changes, after 20261121_repair_retries
"""

import sqlalchemy as sa
from alembic import op

revision = "20261121_recording_changes"
down_revision = "20261121_repair_retries"
branch_labels = None
depends_on = None

NOTE = """
CREATE FUNCTION price_changes_note_recordings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO price_changes (exchange, ticker, first_slot, last_slot)
    SELECT exchange, ticker, min(first_slot), max(coalesce(last_slot, 4611686018427387904))
    FROM touched GROUP BY 1, 2;
    IF FOUND THEN
        NOTIFY price_changes;
    END IF;
    RETURN NULL;
END $$
"""
SCHEMA = """
SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid = 'recordings'::regclass
"""
TRIGGERS = {
    "added": "INSERT ON recordings REFERENCING NEW",
    "removed": "DELETE ON recordings REFERENCING OLD",
    "changed_from": "UPDATE ON recordings REFERENCING OLD",
    "changed_to": "UPDATE ON recordings REFERENCING NEW",
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(NOTE)
    schema = op.get_bind().scalar(sa.text(SCHEMA))  # whatever the writer's path
    op.execute(
        "ALTER FUNCTION price_changes_note_recordings() "
        f"SET search_path = pg_catalog, {schema}, pg_temp"
    )
    for name, event in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER recording_changes_{name} AFTER {event} TABLE AS touched "
            "FOR EACH STATEMENT EXECUTE FUNCTION price_changes_note_recordings()"
        )
    op.execute(
        "CREATE TRIGGER recording_changes_emptied AFTER TRUNCATE ON recordings "
        "FOR EACH STATEMENT EXECUTE FUNCTION price_changes_note_all()"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in (*TRIGGERS, "emptied"):
        op.execute(f"DROP TRIGGER recording_changes_{name} ON recordings")
    op.execute("DROP FUNCTION price_changes_note_recordings()")
