"""How many requests that compute have been taken and are not answered yet, so that a client can see why it waits."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

_COMPUTING = ("/infer/", "/activelearning/")
_waiting = 0  # changed by the event loop's thread alone


def queue_length() -> int:
    """Requests for results and for samples that are computed or wait for it; one network runs at a time."""
    return _waiting


class Counted:
    """Counts the requests that compute while they are answered.

    Args:
        app: what answers them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        global _waiting
        if scope["type"] != "http" or not scope["path"].startswith(_COMPUTING):
            await self.app(scope, receive, send)
            return
        _waiting += 1
        try:
            await self.app(scope, receive, send)
        finally:
            _waiting -= 1
