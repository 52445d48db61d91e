"""Runs migrations over the service's own engine, one process at a time."""

import asyncio
import logging
from contextlib import aclosing

import structlog
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from app import __version__
from app.core.errors import AppError, DatabaseUnavailable
from app.core.exit_messages import exit_message
from app.core.logs import configure_logs, quiet_loggers
from app.core.server_urls import database_url
from app.core.settings import load_settings
from app.postgres.diagnosis import describe_database_unavailable
from app.postgres.engine import create_engine
from app.postgres.errors import map_postgres_errors
from app.postgres.models import Base
from app.postgres.schema_version import require_version
from app.postgres.timeouts import CONNECT_TIMEOUT_SECONDS

log = structlog.get_logger("alembic")

ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('prices:migrate', 0))")


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, on_version_apply=log_step
    )
    with context.begin_transaction():
        connection.execute(ONE_AT_A_TIME)
        context.run_migrations()
    log.info("schema_current", revision=context.get_context().get_current_revision())


def log_step(
    ctx: MigrationContext,  # noqa: ARG001  # alembic passes each by its name
    step: MigrationInfo,
    heads: object,  # noqa: ARG001  # same
    run_args: object,  # noqa: ARG001  # same
) -> None:
    log.info(
        "schema_migrated",
        upward=step.is_upgrade,
        revision=", ".join(step.destination_revision_ids) or "base",
    )


async def main() -> None:
    settings = load_settings()
    if not logging.getLogger().handlers:
        configure_logs(settings.log_level, settings.log_format)
        quiet_loggers("alembic.runtime.migration")  # each step has a line of ours
    url = database_url(settings)
    try:
        with map_postgres_errors():
            await migrate_at(url)
    except DatabaseUnavailable as error:
        hint = "start the embedded servers with `make run`, or set DATABASE_URL"
        raise DatabaseUnavailable(f"{describe_database_unavailable(error, url)}; {hint}") from error


async def migrate_at(url: str) -> None:
    connect_args = {"timeout": CONNECT_TIMEOUT_SECONDS}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
    connection = engine.connect()
    await connection.start()
    async with aclosing(connection):
        require_version(getattr(engine.dialect, "server_version_info", ()))
        log.info("migration_started", version=__version__)
        await connection.run_sync(migrate)


try:
    asyncio.run(main())
except AppError as error:
    raise SystemExit(exit_message(error)) from None
