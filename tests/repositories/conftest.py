"""What the application asks PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from app.db.session import Database


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """Every statement that the database under test is asked from now on."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)
