"""The schema's version: migrations run one at a time, and old schemas are refused."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from app.core.errors import DatabaseTooOld, SchemaOutdated
from app.postgres.database import Database

MIN_VERSION: Final = 14
"""The first PostgreSQL that ends idle sessions, which is how a dead worker loses its locks."""
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


def require_version(version: Sequence[int]) -> None:
    """Refuse a server that is too old; one whose version is unknown passes.

    Raises:
        DatabaseTooOld: it is.
    """
    if version and version[0] < MIN_VERSION:
        found = ".".join(map(str, version))
        raise DatabaseTooOld(f"PostgreSQL {found} is too old: at least {MIN_VERSION} is needed")


async def require_current(database: Database) -> None:
    """Refuse a schema older than the code; accept one that the code doesn't know, for it is newer.

    Raises:
        SchemaOutdated: the schema is older, or absent.
        DatabaseTooOld: the server is.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    head, known = _revisions()
    found = await database.revision()
    require_version(database.server_version)
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
