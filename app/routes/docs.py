"""The page that describes the calls."""

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from app.security import protect_page

router = APIRouter()

_SWAGGER = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Show every call, and let one try it."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Stepcast",
        swagger_js_url=f"{_SWAGGER}swagger-ui-bundle.js",
        swagger_css_url=f"{_SWAGGER}swagger-ui.css",
        swagger_favicon_url="data:,",
    )
    # Swagger UI styles its elements one by one.
    styles = f"style-src 'unsafe-inline' {_SWAGGER}"
    return protect_page(page, f"script-src {_SWAGGER}", styles, "img-src 'self' data:")
