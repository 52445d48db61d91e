"""The files of the dashboard, under a name that changes with their content."""

import gzip
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from app.api.middleware.etag import weak_etag

PAGE_DIRECTORY: Final = Path(__file__).resolve().parents[1] / "page"
ASSETS_PATH: Final = "/page"
CHART_PACKAGE: Final = "litecharts"
CHART_LIBRARY: Final = "lightweight-charts.js"
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class PageFile(NamedTuple):
    """A file as it is served, plain and compressed as far as gzip can, as it is done once."""

    body: bytes
    gzipped: bytes
    media_type: str
    etag: str


class Page(NamedTuple):
    """The page, and the files that it loads; the digest changes with any of them."""

    html: str
    digest: str
    files: Mapping[str, PageFile]


@cache
def load_page() -> Page:
    """Read the page and its files once; the address of the files holds their digest.

    A file keeps its name, so that modules import one another by it.
    """
    paths = [path for path in sorted(PAGE_DIRECTORY.iterdir()) if path.suffix in MEDIA_TYPES]
    files = {path.name: _read(path) for path in [*paths, chart_library_path()]}
    digest = _digest(files)
    html = (PAGE_DIRECTORY / "index.html").read_text("utf-8")
    return Page(html.replace("{assets}", f"{ASSETS_PATH}/{digest}"), digest, files)


def chart_library_path() -> Path:
    """Return where the chart library lies, without importing the package that brings it.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    spec = find_spec(CHART_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{CHART_PACKAGE} is not installed: see requirements.txt")
    return Path(spec.submodule_search_locations[0]) / "js" / CHART_LIBRARY


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    return PageFile(body, gzip.compress(body, mtime=0), MEDIA_TYPES[path.suffix], weak_etag(body))


def _digest(files: Mapping[str, PageFile]) -> str:
    digest = blake2b(digest_size=8)
    for name, file in files.items():
        digest.update(b"%s %d " % (name.encode(), len(file.body)) + file.body)
    return digest.hexdigest()
