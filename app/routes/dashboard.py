"""The dashboard: one page, the files that it is made of, and the reports that it links to."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, HTMLResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from app.routes.dependencies import ServicesDep, SettingsDep
from app.security import page_headers

router = APIRouter(include_in_schema=False)

_INDEX = "index.html"
_FOLDER = Path(__file__).parents[1] / "dashboard"
_FILES = StaticFiles(directory=_FOLDER)
_PAGE = (_FOLDER / _INDEX).read_bytes()
_POLICY = ("script-src 'self'", "style-src 'self'", "img-src 'self'", "form-action 'none'")
_HEADERS = page_headers(_PAGE, *_POLICY) | {"cache-control": "no-cache"}

# A report styles itself and holds its pictures. It runs nothing, and is of no site.
_REPORT_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-popups"
)


@router.get("/")
async def page() -> HTMLResponse:
    """Return the page."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/dashboard/{path:path}")
async def file(path: str, request: Request) -> Response:
    """Return a file of the page, if it is not the one that the browser has."""
    try:
        found = await _FILES.get_response(path, request.scope)
    except HTTPException as error:
        raise HTTPException(404, f"no file {path!r} here") from error
    found.headers.update(_HEADERS)  # the page itself is one of them
    return found


@router.get("/models/{name}/report/{path:path}")
async def report(
    name: Annotated[str, InPath(max_length=64)],
    path: str,
    services: ServicesDep,
    settings: SettingsDep,
) -> FileResponse:
    """Return a file of a model's training report, which its manifest names and a start checks."""
    manifest = services.get(name).model.manifest
    file = f"report/{path or _INDEX}"
    if file not in manifest.files:
        raise HTTPException(404, f"model {manifest.name!r} has no file {file!r}")
    headers = {"cache-control": "no-cache", "content-security-policy": _REPORT_POLICY}
    return FileResponse(settings.models / manifest.name / file, headers=headers)
