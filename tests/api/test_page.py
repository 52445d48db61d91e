"""The dashboard is whole without internet, small, and cached for as long as it stays the same."""

import re
from hashlib import sha256

import pytest

from app.api.page_files import PAGE_DIRECTORY, chart_library_path, load_page
from tests.api.client import ApiClient

CHART_LIBRARY_SHA256 = "756b0ba9f58930226d6b8b9d47ad310448ab85d799ea1f7c2c02304777c10b52"
"""Of `lightweight-charts.standalone.production.js` 5.1.0, as npm has it."""
MAX_GZIPPED_BYTES = 120_000
LOADED = re.compile(r"""<(?:script|link)[^>]+(?:src|href)="([^"]+)""")
IMPORTED = re.compile(r"""^\s*(?:import|export)\b.*?from "([^"]+)";""", re.MULTILINE)
ELSEWHERE = re.compile(r"""(?:https?:)?//[\w-]+(?:\.[\w-]+)+""")
INLINE = re.compile(r"""<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)""")
MAX_MODULE_LINES = 200


async def loaded_files(api: ApiClient) -> set[str]:
    """The addresses of everything that the page loads, modules by way of others too."""
    found = set(LOADED.findall((await api.get("/")).body.decode()))
    waiting = {path for path in found if path.endswith(".js") and "lightweight" not in path}
    while waiting:
        path = waiting.pop()
        source = (await api.get(path)).body.decode()
        modules = {path.rpartition("/")[0] + name[1:] for name in IMPORTED.findall(source)}
        waiting |= modules - found
        found |= modules
    return found


async def test_page_is_revalidated_by_its_etag(api: ApiClient) -> None:
    page = await api.get("/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    known = await api.get("/", **{"If-None-Match": page.headers["etag"]})
    assert (known.status, known.body) == (304, b"")


async def test_every_file_of_the_page_may_be_kept_for_ever(api: ApiClient) -> None:
    files = await loaded_files(api)
    assert len(files) > 10
    for path in files:
        file = await api.get(path)
        assert (file.status, bool(file.body)) == (200, True), path
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        head = await api.send("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-type"] == file.headers["content-type"]
        assert head.headers["etag"] == file.headers["etag"]


@pytest.mark.parametrize(
    "path", ["/page/0123456789abcdef/main.js", "/page/{digest}/nope.js", "/page/{digest}/..%2Fx.js"]
)
async def test_file_of_another_version_is_not_found(api: ApiClient, path: str) -> None:
    answer = await api.get(path.format(digest=load_page().digest))
    assert (answer.status, answer.code) == (404, "route_not_found")


async def test_page_and_its_files_forbid_what_they_do_not_need(api: ApiClient) -> None:
    script = f"/page/{load_page().digest}/main.js"
    for path in ("/", script):
        headers = (await api.get(path)).headers
        policy = dict(
            part.split(maxsplit=1) for part in headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert not [part for part in policy.values() if "unsafe" in part]
        assert headers["x-content-type-options"] == "nosniff"
    for path in ("/docs", "/api/v1/tickers"):
        assert "content-security-policy" not in (await api.get(path)).headers


async def test_page_loads_nothing_from_elsewhere(api: ApiClient) -> None:
    """Links lead elsewhere; scripts, styles and pictures do not."""
    page = (await api.get("/")).body.decode()
    assert not INLINE.search(page), "the policy refuses it"
    assert set(ELSEWHERE.findall(page)) == {"https://www.tradingview.com", "https://www.apache.org"}
    for path in await loaded_files(api):
        assert path.startswith(f"/page/{load_page().digest}/")
        if not path.endswith("lightweight-charts.js"):
            source = (await api.get(path)).body.decode().replace("http://www.w3.org/2000/svg", "")
            assert not ELSEWHERE.search(source), path


async def test_first_load_is_small(api: ApiClient) -> None:
    size = 0
    for path in {"/", *await loaded_files(api)}:
        answer = await api.get(path, **{"Accept-Encoding": "gzip"})
        size += int(answer.headers["content-length"])
        if path != "/" or len(answer.body) > 1000:
            assert answer.headers["content-encoding"] == "gzip", path
    assert size < MAX_GZIPPED_BYTES


async def test_file_is_the_same_with_and_without_gzip(api: ApiClient) -> None:
    path = f"/page/{load_page().digest}/main.js"
    plain = await api.get(path, **{"Accept-Encoding": "gzip;q=0"})
    packed = await api.get(path, **{"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.headers["etag"] == plain.headers["etag"]
    assert int(packed.headers["content-length"]) < len(plain.body)
    assert packed.body == plain.body, "the client unpacks it"


async def test_chart_library_is_tradingviews_own_and_is_credited(api: ApiClient) -> None:
    library = load_page().files["lightweight-charts.js"].body
    assert sha256(library).hexdigest() == CHART_LIBRARY_SHA256
    assert chart_library_path().parent.parent.name == "litecharts"
    page = (await api.get("/")).body.decode()
    assert "https://www.tradingview.com/" in page
    assert "Apache License 2.0" in page


def test_digest_changes_with_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_page().digest
    assert load_page.__wrapped__().digest == before
    monkeypatch.setattr("app.api.page_files.MEDIA_TYPES", {".js": "text/javascript"})
    assert load_page.__wrapped__().digest != before


def test_modules_are_checked_and_short() -> None:
    for path in PAGE_DIRECTORY.glob("*.js"):
        source = path.read_text()
        assert source.startswith("// @ts-check\n// "), path.name
        assert len(source.splitlines()) <= MAX_MODULE_LINES, path.name
