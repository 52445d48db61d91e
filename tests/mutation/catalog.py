"""The defects that can be put back: one small patch each, with a header that tells what it is."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DEFECTS = Path(__file__).with_name("defects")
LIST = PROJECT / "docs" / "defects.md"


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect: its number in the list, its words, where it was seen, the tests that name it."""

    patch: Path
    number: int
    words: str
    seen: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """The patch's name, which begins with the number."""
        return self.patch.stem

    @property
    def row(self) -> str:
        """The line of the list in the documentation."""
        link = f"[{self.name}](../{self.patch.relative_to(PROJECT).as_posix()})"
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in self.tests)
        return f"| {link} | {self.words} | {self.seen} | {tests} |"


def read_defects() -> list[Defect]:
    """Read every patch's header, in the order of the list."""
    return [_read(patch) for patch in sorted(DEFECTS.glob("*.patch"))]


def apply(patch: Path, tree: Path, *options: str) -> str:
    """Apply a patch to a tree; give git's complaint, empty where there is none.

    git takes lines that moved, but no line of context that changed.
    """
    applied = subprocess.run(  # noqa: S603  # our own patch
        ["git", "apply", *options, patch],  # noqa: S607  # wherever git is
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return applied.stderr.strip() if applied.returncode else ""


def _read(patch: Path) -> Defect:
    header = patch.read_text().partition("\n--- ")[0].splitlines()
    fields = [line.partition(": ")[::2] for line in header]
    one = dict(fields)
    tests = tuple(value for name, value in fields if name == "Test")
    return Defect(patch, int(one["Number"]), one["Defect"], one["Seen"], tests)
