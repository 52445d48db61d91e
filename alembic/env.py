"""Runs migrations over the service's own engine, one process at a time."""

import asyncio
from contextlib import aclosing

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.core.errors import AppError, DatabaseUnavailable
from app.core.settings import load_settings
from app.db.faults import translated
from app.db.models import Base
from app.runtime import database_url

ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('prices:migrate', 0))")


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        connection.execute(ONE_AT_A_TIME)
        context.run_migrations()


async def main() -> None:
    engine = create_async_engine(database_url(load_settings()), poolclass=NullPool)
    connection = engine.connect()
    with translated():
        await connection.start()
    async with aclosing(connection):
        await connection.run_sync(migrate)


try:
    asyncio.run(main())
except DatabaseUnavailable as error:
    raise SystemExit(
        f"{error.code}: {error}; start the embedded servers with `make run`, or set DATABASE_URL"
    ) from None
except AppError as error:
    raise SystemExit(f"{error.code}: {error}") from None
