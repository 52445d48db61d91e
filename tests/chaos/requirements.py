"""What scenarios need of the machine beyond what is installed with the project."""

import os
import subprocess
import tempfile

from tests.processes import FAKETIME


def missing_requirements() -> dict[str, str]:
    """Describe what the machine lacks, by the name of the test module that needs it."""
    found = {}
    if FAKETIME is None:
        found["test_clocks.py"] = "wrong clocks need libfaketime: apt-get install faketime"
    if error_message := _mount_error():
        found["test_disk.py"] = (
            "a disk that can be filled needs the right to mount one: run this as root, with sudo "
            f"without a password, or in a privileged container ({error_message})"
        )
    return found


def root_prefix() -> tuple[str, ...]:
    """Return what to put before a command that only root may run."""
    return () if os.geteuid() == 0 else ("sudo", "--non-interactive")


def _mount_error() -> str:
    """Mount a small disk and unmount it again; return the error message, empty on success."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        mount = (*root_prefix(), "mount", "-t", "tmpfs", "-o", "size=1m", "chaos", folder)
        try:
            subprocess.run(mount, capture_output=True, text=True, check=True)  # noqa: S603  # the system's own program
        except subprocess.CalledProcessError as error:
            return str(error.stderr).strip()
        except OSError as error:
            return str(error)
        subprocess.run((*root_prefix(), "umount", folder), check=True)  # noqa: S603  # same
    return ""
