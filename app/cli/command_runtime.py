"""The runtime of a command; heavy modules are imported only when it is opened."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.runtime import Runtime


@asynccontextmanager
async def command_runtime(*, broker: bool = False, quiet: bool = False) -> AsyncIterator["Runtime"]:
    """Open the runtime for a command, whose log goes to the standard error.

    `quiet` drops the log's `info` events, for a command whose own output says the same.

    Raises:
        SettingsError: a setting makes no sense.
        ServersUnknown, DatabaseUnavailable, BrokerUnavailable, SchemaOutdated: a server is
            missing or outdated.
    """
    from app.core.logs import configure_logs
    from app.core.settings import load_settings
    from app.runtime import open_runtime, require_servers

    settings = load_settings()
    level = "warning" if quiet and settings.log_level == "info" else settings.log_level
    configure_logs(level, settings.log_format, sys.stderr)
    await require_servers(settings, broker=broker)
    async with open_runtime(settings) as runtime:
        yield runtime
