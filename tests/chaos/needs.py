"""What scenarios need of the machine beyond what is installed with the project."""

import os
import subprocess
import tempfile

from tests.processes import FAKETIME


def lacks() -> dict[str, str]:
    """Give what is lacking in words, by the module of the scenarios that need it."""
    found = {}
    if FAKETIME is None:
        found["test_clocks.py"] = "wrong clocks need libfaketime: apt-get install faketime"
    if complaint := _mount_complaint():
        found["test_disk.py"] = (
            "a disk that can be filled needs the right to mount one: run this as root, with sudo "
            f"without a password, or in a privileged container ({complaint})"
        )
    return found


def as_root() -> tuple[str, ...]:
    """Give the words before a command that only root may run."""
    return () if os.geteuid() == 0 else ("sudo", "--non-interactive")


def _mount_complaint() -> str:
    """Mount a small disk and unmount it again; give the complaint, empty where there is none."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        mount = (*as_root(), "mount", "-t", "tmpfs", "-o", "size=1m", "chaos", folder)
        try:
            subprocess.run(mount, capture_output=True, text=True, check=True)  # noqa: S603  # the system's own program
        except subprocess.CalledProcessError as error:
            return str(error.stderr).strip()
        except OSError as error:
            return str(error)
        subprocess.run((*as_root(), "umount", folder), check=True)  # noqa: S603  # same
    return ""
