"""The schema's version: migrations run one at a time, and old schemas are refused."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.core.errors import SchemaOutdated
from app.db.session import Database

PROJECT = Path(__file__).resolve().parents[2]


class Revisions(NamedTuple):
    """The migrations that this code knows."""

    head: str | None
    known: frozenset[str]


def migrate() -> None:
    """Bring the schema to the newest version; several processes may do so at once."""
    command.upgrade(_config(), "head")


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
    """Read the migrations' files, once: it takes milliseconds in which nothing else runs."""
    script = ScriptDirectory.from_config(_config())
    known = frozenset(revision.revision for revision in script.walk_revisions())
    return Revisions(script.get_current_head(), known)


def _config() -> Config:
    return Config(PROJECT / "alembic.ini")
