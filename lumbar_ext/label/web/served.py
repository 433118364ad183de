"""Which requests are answered: those for addresses that this app has a use for, of bounded size, and from no web page of
another site.

MONAI Label's other addresses take files and paths that nobody here needs: whole-slide images, batches, models, sessions
(archives of a client), a proxy to an archive, OHIF's pages.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lumbar_ext.io.input_file import MAX_RADIOGRAPH_BYTES

_SERVED = re.compile(
    r"/(info|infer/[^/]+|train(/[^/]+)?|activelearning/[^/]+|datastore(/(image|label)(/info)?)?)?/?"
    r"|/(docs|openapi\.json|favicon\.ico|static/.*)"
)
_FORBIDDEN, _NOT_FOUND, _TOO_LARGE = 403, 404, 413  # status codes, RFC 9110
_MAX_BODY_BYTES = MAX_RADIOGRAPH_BYTES + 2**20
"""The largest radiograph, and what a form adds to it."""


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


class BoundedBody:
    """Ends a request whose body is larger than any file that this app takes with 413, without reading on.

    Args:
        app: what answers the others.
        max_bytes: the largest body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = _MAX_BODY_BYTES) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts what comes; what a header declares is believed only where it is too much."""
        taken, started = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.max_bytes:
                raise HTTPException(_TOO_LARGE, self._said())
            return message

        async def answered(message: Message) -> None:
            nonlocal started
            # What the app makes of a body that breaks off is no answer to it.
            if started or taken <= self.max_bytes:
                started = True
                await send(message)

        declared = dict(scope.get("headers", ())).get(b"content-length", b"0")
        if scope["type"] == "http" and (not declared.isdigit() or int(declared[:20]) > self.max_bytes):
            await self._refuse(scope, receive, send)
            return
        try:
            await self.app(scope, counted, answered)
        except Exception:
            if started or taken <= self.max_bytes:
                raise
        if not started and taken > self.max_bytes:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({"detail": self._said()}, status_code=_TOO_LARGE)(scope, receive, send)

    def _said(self) -> str:
        return f"larger than {self.max_bytes / 2**20:.0f} MiB, expected one radiograph or markups file"
