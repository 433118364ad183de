"""Slow requests in threads of their own, so that the server answers others meanwhile.

MONAI Label declares its endpoints `async` but computes within them, which stops every other request. The same functions
behind plain endpoints run in FastAPI's thread pool.
"""

import json
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, File, Form, UploadFile
from monailabel.config import settings
from monailabel.endpoints import activelearning, infer, train
from monailabel.endpoints.user.auth import RBAC, User

from lumbar_ext.errors import InputError

_USER = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]
_ADMIN = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))]
_router = APIRouter()


@_router.post("/infer/{model}")
def run_inference(
    background_tasks: BackgroundTasks,
    model: str,
    user: _USER,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: infer.ResultType | None = None,
):
    """As MONAI Label's own endpoint."""
    if not isinstance(json.loads(params or "{}"), dict):
        raise InputError("the parameters are no JSON object")
    return infer.run_inference(background_tasks, model, image, session_id, params, file, label, output)


@_router.post("/activelearning/{strategy}")
def next_sample(strategy: str, user: _USER, params: Annotated[dict | None, Body()] = None):
    """As MONAI Label's own endpoint."""
    return activelearning.sample(strategy, params, user.username)


@_router.post("/train/{model}")
def run_training(model: str, user: _ADMIN, params: dict | None = None, run_sync: bool = False, enqueue: bool = False):
    """As MONAI Label's own endpoint."""
    return train.run_model(model, params, run_sync, enqueue)


def answer_in_threads(app: FastAPI) -> None:
    """Puts these endpoints before MONAI Label's own of the same paths."""
    own = len(app.router.routes)
    app.include_router(_router, prefix=settings.MONAI_LABEL_API_STR)
    routes = app.router.routes
    routes[:] = [*routes[own:], *routes[:own]]
