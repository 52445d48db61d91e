"""The check of the servers that Celery's processes make before they work."""

import asyncio
import subprocess
import sys

from app.core.errors import AppError
from app.core.exit_messages import exit_message
from app.core.settings import Settings, load_settings


def require_servers_or_exit(settings: Settings) -> None:
    """End the process with one line where it could not work."""
    from app.runtime import require_servers  # noqa: PLC0415  # heavy, and beat needs none of it

    try:
        asyncio.run(require_servers(settings, broker=True))
    except AppError as error:
        raise SystemExit(exit_message(error)) from None


def require_servers_in_subprocess() -> None:
    """Check in a process that ends: beat keeps half of its memory that only the check needs."""
    check = subprocess.run([sys.executable, "-m", __name__], check=False)  # noqa: S603  # ours
    if check.returncode:
        raise SystemExit(check.returncode)


if __name__ == "__main__":
    require_servers_or_exit(load_settings())
