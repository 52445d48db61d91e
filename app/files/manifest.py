"""Manifests: the JSON file that describes an exported file, to be checked before an import."""

import gzip
import json
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from app.domain.export_manifests import FileDigest
from app.files.reader import GZIP_MAGIC

BYTES_AT_ONCE: Final = 2**20


class _Expected(NamedTuple):
    size: int
    sha256: str


def check_manifest(path: Path, manifest: Path) -> None:
    """Compare a file, unpacked if it is gzipped, with its manifest.

    Raises:
        OSError: one of them can't be read.
        ValueError: the file is cut off or altered, or the manifest is none.
    """
    expected = _read_manifest(manifest)
    digest, is_whole = _digest(path)
    if not is_whole or digest.size < expected.size:
        raise ValueError(
            f"it is cut off: {digest.size} of the {expected.size} bytes that {manifest} describes"
        )
    if (digest.size, digest.sha256) != expected:
        raise ValueError(
            f"it is not the file that {manifest} describes, or was altered: it has {digest.size} "
            f"bytes with SHA-256 {digest.sha256}, not {expected.size} with {expected.sha256}"
        )


def _read_manifest(manifest: Path) -> _Expected:
    try:
        content = json.loads(manifest.read_bytes())
        return _Expected(int(content["bytes"]), str(content["sha256"]).lower())
    except (ValueError, TypeError, LookupError):
        raise ValueError(f"{manifest} is no manifest of an export") from None


def _digest(path: Path) -> tuple[FileDigest, bool]:
    """Return the digest of a file's unpacked bytes, and whether its gzip stream is whole."""
    digest = FileDigest()
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("rb"))
        if file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):  # type: ignore[attr-defined]
            file = cast("BinaryIO", stack.enter_context(gzip.open(file)))
        try:
            while piece := file.read(BYTES_AT_ONCE):
                digest.add_bytes(piece)
        except EOFError:
            return digest, False
    return digest, True
