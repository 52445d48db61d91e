"""Manifests of exports: what a file holds, so that a damaged copy is recognized."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from app.domain.coverage import Coverage
from app.domain.encoded_rows import RowTemplate
from app.domain.exports import Export
from app.domain.slots import Slot

if TYPE_CHECKING:
    from hashlib import _Hash


@dataclass(slots=True)
class FileDigest:
    """The size of a file before gzip, and its SHA-256, computed piece by piece."""

    size: int = 0
    _hash: "_Hash" = field(default_factory=sha256)

    def add_bytes(self, piece: bytes) -> None:
        """Add the next bytes of the file."""
        self.size += len(piece)
        self._hash.update(piece)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the bytes so far, as hexadecimal digits."""
        return self._hash.hexdigest()


@dataclass(slots=True)
class ExportDigest(FileDigest):
    """The digest of an export: also its rows, and the slots of the first and the last one."""

    rows: int = 0
    first: Slot | None = None
    last: Slot | None = None

    def add_rows(self, lines: bytes, template: RowTemplate, last: Slot) -> None:
        """Count a batch of encoded rows, which ends with this slot."""
        if self.first is None:
            self.first = Slot(int(lines.partition(template.after_slot)[0]))
        self.last = last
        self.rows += lines.count(template.separator_bytes) + 1


@dataclass(frozen=True, slots=True)
class ExportManifest:
    """What an export holds: its rows, the digest of its bytes, and the gaps of its period."""

    export: Export
    digest: ExportDigest
    coverage: Coverage

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON objects."""
        digest, gaps = self.digest, self.coverage.gaps
        return {
            **self.export.key._asdict(),
            "format": self.export.file_format.value,
            "file_name": self.export.file_name,
            "rows": digest.rows,
            "first": digest.first,
            "last": digest.last,
            "bytes": digest.size,
            "sha256": digest.sha256,
            "missing": sum(gap.missing for gap in gaps),
            "gaps": [
                {"from": g.first, "to": g.last, "missing": g.missing, "reason": g.reason_code}
                for g in gaps
            ],
        }
