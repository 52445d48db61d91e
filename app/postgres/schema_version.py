"""The schema's version: upgrades it, and refuses one that is older than the code."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from app.core.errors import DatabaseTooOld, SchemaOutdated
from app.postgres.database import Database

MIN_VERSION: Final = 14
"""PostgreSQL 14 added `idle_session_timeout`, by which a dead worker loses its locks."""
PROJECT: Final = Path(__file__).resolve().parents[2]
_REVISION_LINE: Final = re.compile(r'^(revision|down_revision) = "(\w+)"', re.MULTILINE)


def migrate() -> None:
    """Upgrade the schema to the newest version; several processes may call this at once."""
    from alembic import command  # noqa: PLC0415  # heavy
    from alembic.config import Config  # noqa: PLC0415  # heavy

    command.upgrade(Config(PROJECT / "alembic.ini"), "head")


def require_version(version: Sequence[int]) -> None:
    """Refuse a server that is too old; an unknown (empty) version passes.

    Raises:
        DatabaseTooOld: the server is older than MIN_VERSION.
    """
    if version and version[0] < MIN_VERSION:
        shown = ".".join(map(str, version))
        raise DatabaseTooOld(f"PostgreSQL {shown} is too old: at least {MIN_VERSION} is needed")


async def require_compatible_database(database: Database) -> None:
    """Refuse a schema that is older than the code; an unknown revision is newer, and accepted.

    Raises:
        SchemaOutdated: the schema is older, or missing.
        DatabaseTooOld: the server is too old.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    head, known = _revisions()
    revision = await database.schema_revision()
    require_version(database.server_version)
    if revision != head and (revision is None or revision in known):
        raise SchemaOutdated(
            f"the database's schema is at {revision or 'nothing'}, this code needs {head}: "
            "run `alembic upgrade head`"
        )


@cache
def _revisions() -> tuple[str, set[str]]:
    """Read the newest migration and all of them from their files; importing Alembic takes long."""
    files = (PROJECT / "alembic/versions").glob("*.py")
    migrations = [dict(_REVISION_LINE.findall(file.read_text())) for file in files]
    known = {migration["revision"] for migration in migrations}
    (head,) = known - {migration.get("down_revision") for migration in migrations}
    return head, known
