"""The files that were indexed, to download: where it is allowed, and as long as they are what was indexed."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from qa.web.ports import AskService

PATH = "/originals"

router = APIRouter(include_in_schema=False)


@router.get(f"{PATH}/{{id:path}}")
def original(id: str, request: Request) -> Response:
    """Never shown by the browser itself: a file may hold whatever it likes, and would do it as ours."""
    service: AskService = request.app.state.service
    found = service.original(id)
    headers = {
        "Content-Disposition": _attachment(id.rpartition("/")[2]),
        "Content-Length": str(found.size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingResponse(found.blocks(), media_type="application/octet-stream", headers=headers)


def original_address(document: str) -> str:
    return f"{PATH}/{quote(document, errors='replace')}"


def _attachment(name: str) -> str:
    """RFC 6266, with the name in ASCII for those who do not know RFC 8187."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
