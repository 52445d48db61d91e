"""The routes that serve the dashboard: the page itself, and the files that it loads."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Header, HTTPException, Response

from app.api.accept_encoding import accepts_gzip
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
def page() -> Response:  # in a thread: the first request reads and compresses the files
    headers = {**SECURITY_HEADERS, "Cache-Control": REVALIDATE}
    return Response(load_page().html, media_type="text/html", headers=headers)


@router.get(f"{ASSETS_PATH}/{{digest}}/{{name}}")
def page_file(digest: str, name: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
    current = load_page()
    file = current.files.get(name) if digest == current.digest else None
    if file is None:  # such as a file of another version
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {**SECURITY_HEADERS, "Cache-Control": UNCHANGING, "ETag": file.etag}
    headers["Vary"] = "Accept-Encoding"
    if not accepts_gzip(accept_encoding):
        return Response(file.body, media_type=file.media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(file.gzipped, media_type=file.media_type, headers=headers)
