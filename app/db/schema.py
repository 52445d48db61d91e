"""The schema's version: migrations run one at a time, and old schemas are refused."""

import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from app.core.errors import SchemaOutdated
from app.db.session import Database

PROJECT: Final = Path(__file__).resolve().parents[2]
_NAMED: Final = re.compile(r'^(revision|down_revision) = "(\w+)"', re.MULTILINE)


class Revisions(NamedTuple):
    """The migrations that this code knows."""

    head: str
    known: frozenset[str]


def migrate() -> None:
    """Bring the schema to the newest version; several processes may do so at once."""
    from alembic import command  # noqa: PLC0415  # heavy
    from alembic.config import Config  # noqa: PLC0415  # heavy

    command.upgrade(Config(PROJECT / "alembic.ini"), "head")


async def require_current(database: Database) -> None:
    """Refuse a schema older than the code; accept one that the code doesn't know, for it is newer.

    Raises:
        SchemaOutdated: the schema is older, or absent.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    head, known = _revisions()
    found = await database.revision()
    if found != head and (found is None or found in known):
        raise SchemaOutdated(
            f"the database's schema is at {found or 'nothing'}, this code needs {head}: "
            "run `alembic upgrade head`"
        )


@cache
def _revisions() -> Revisions:
    """Read the migrations' files; Alembic would, but takes long to be imported."""
    files = (PROJECT / "alembic/versions").glob("*.py")
    migrations = [dict(_NAMED.findall(file.read_text())) for file in files]
    known = {migration["revision"] for migration in migrations}
    (head,) = known - {migration.get("down_revision") for migration in migrations}
    return Revisions(head, frozenset(known))
