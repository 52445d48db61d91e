"""The documentation pages are whole without internet."""

import re

from tests.api.client import ApiClient

REFERENCE = re.compile(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""")
ELSEWHERE = re.compile(r"""(?:https?:)?//[\w.-]+\.\w+""")


async def test_pages_reference_no_other_host_and_all_of_them_answer(api: ApiClient) -> None:
    """Elsewhere /docs was blank without internet, for it loads its script from a CDN."""
    for page in ("/docs", "/redoc"):
        answer = await api.get(page)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/html")
        html = answer.body.decode()
        assert not ELSEWHERE.search(html), ELSEWHERE.findall(html)
        references = {ref for ref in REFERENCE.findall(html) if not ref.startswith("data:")}
        assert references
        for reference in references | set(re.findall(r'spec-url="([^"]+)"', html)):
            found = await api.get(reference)
            assert (found.status, bool(found.body)) == (200, True), reference


async def test_styles_and_scripts_come_with_their_media_types(api: ApiClient) -> None:
    html = (await api.get("/docs")).body.decode() + (await api.get("/redoc")).body.decode()
    scripts = re.findall(r'<script[^>]+src="([^"]+)"', html)
    styles = re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="([^"]+)"', html)
    assert len(scripts) == 2
    assert styles
    for script in scripts:
        assert "javascript" in (await api.get(script)).headers["content-type"]
    for style in styles:
        answer = await api.get(style)
        assert "css" in answer.headers["content-type"]
        assert re.findall(rb"@import|url\(\s*[\"']?(?:https?:|//)", answer.body) == []


async def test_missing_file_of_the_documentation_is_a_problem(api: ApiClient) -> None:
    answer = await api.get("/static-offline-docs/../../../etc/passwd")
    assert answer.status == 404
    answer = await api.get("/static-offline-docs/nope.js")
    assert (answer.status, answer.code) == (404, "route_not_found")
