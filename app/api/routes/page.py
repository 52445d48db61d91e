"""The routes that serve the dashboard: the page itself, and the files that it loads."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, HTTPException, Response

from app.api.page_files import ASSETS_PATH, load_page
from app.api.pagination import REVALIDATE

UNCHANGING: Final = "public, max-age=31536000, immutable"
"""For files whose address changes with their content."""
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    headers = {**SECURITY_HEADERS, "Cache-Control": REVALIDATE}
    return Response(load_page().html, media_type="text/html", headers=headers)


@router.get(f"{ASSETS_PATH}/{{digest}}/{{name}}")
async def page_file(digest: str, name: str) -> Response:
    current = load_page()
    file = current.files.get(name) if digest == current.digest else None
    if file is None:  # such as a file of another version
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {**SECURITY_HEADERS, "Cache-Control": UNCHANGING}
    return Response(file.body, media_type=file.media_type, headers=headers)
