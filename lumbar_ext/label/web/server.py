"""MONAI Label's web service with clear errors, for this machine alone unless told otherwise."""

from __future__ import annotations

import json
import logging
import os

from fastapi import Request
from fastapi.responses import JSONResponse
from monailabel.app import app
from monailabel.interfaces.exception import MONAILabelException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from lumbar_ext.errors import InputError
from lumbar_ext.label.web.responsive import answer_in_threads
from lumbar_ext.label.web.served import BoundedBody, serve_only_what_is_used
from lumbar_ext.label.web.waiting import Counted
from lumbar_ext.workflow.error_reporting import disk_error_behind, input_error_behind

HOSTS_VARIABLE = "LUMBAR_EXT_HOSTS"
_BAD_REQUEST, _NO_STORAGE, _SERVER_ERROR = 400, 507, 500  # status codes, RFC 9110 and RFC 4918

__all__ = ["app"]

answer_in_threads(app)
app.add_middleware(Counted)
serve_only_what_is_used(app)
app.add_middleware(BoundedBody)

# A page that a browser shows may ask this machine under a name of its own; only the names served are answered.
app.add_middleware(
    TrustedHostMiddleware, allowed_hosts=os.environ.get(HOSTS_VARIABLE, "127.0.0.1,localhost").split(",")
)


def _answer(status: int, message: str) -> JSONResponse:
    logging.getLogger(__name__).error("%d: %s", status, message)
    return JSONResponse({"detail": message}, status_code=status)


@app.exception_handler(InputError)
async def _input_error(_request: Request, error: InputError) -> JSONResponse:
    return _answer(_BAD_REQUEST, " ".join(str(error).split()))


@app.exception_handler(MONAILabelException)
async def _label_error(_request: Request, error: MONAILabelException) -> JSONResponse:
    return _answer(_BAD_REQUEST, error.msg)


@app.exception_handler(json.JSONDecodeError)
async def _json_error(_request: Request, error: json.JSONDecodeError) -> JSONResponse:
    return _answer(_BAD_REQUEST, f"the parameters are not valid JSON: {error}")


@app.exception_handler(OSError)
async def _disk_error(_request: Request, error: OSError) -> JSONResponse:
    return _answer(_NO_STORAGE, f"the server cannot read or write a file: {error.strerror or error}")


@app.exception_handler(Exception)
async def _other_error(_request: Request, error: Exception) -> JSONResponse:
    cause, disk = input_error_behind(error), disk_error_behind(error)
    if cause is not None:
        return await _input_error(_request, cause)
    if disk is not None:
        return await _disk_error(_request, disk)
    logging.getLogger(__name__).exception("unexpected error", exc_info=error)
    return _answer(_SERVER_ERROR, f"unexpected error of the server ({type(error).__name__}); see its log")
