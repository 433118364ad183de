"""Which requests are answered: those for addresses that this app has a use for, and from no web page of another site.

MONAI Label's other addresses take files and paths that nobody here needs: whole-slide images, batches, models, sessions
(archives of a client), a proxy to an archive, OHIF's pages.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

_SERVED = re.compile(
    r"/(info|infer/[^/]+|train(/[^/]+)?|activelearning/[^/]+|datastore(/(image|label)(/info)?)?)?/?"
    r"|/(docs|openapi\.json|favicon\.ico|static/.*)"
)
_FORBIDDEN, _NOT_FOUND = 403, 404  # status codes, RFC 9110


def is_served(path: str) -> bool:
    """Whether a request's path leads to something that this app serves."""
    return _SERVED.fullmatch(path) is not None


def is_foreign(origin: str | None, host: str | None) -> bool:
    """Whether a request comes from a web page of another site than it goes to.

    Args:
        origin: the request's Origin header, which browsers send and MONAI Label's clients do not.
        host: its Host header.
    """
    return origin is not None and urlsplit(origin).netloc != host


def serve_only_what_is_used(app: FastAPI) -> None:
    """Answers pages of other sites with 403 and every other address with 404."""

    @app.middleware("http")
    async def refuse_others(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if is_foreign(request.headers.get("origin"), request.headers.get("host")):
            return JSONResponse({"detail": "asked by a web page of another site"}, status_code=_FORBIDDEN)
        # The path that is routed; `request.url` is made with the client's Host header.
        if not is_served(request.scope["path"]):
            return JSONResponse({"detail": "not served here, see docs/label.md"}, status_code=_NOT_FOUND)
        return await answer(request)
