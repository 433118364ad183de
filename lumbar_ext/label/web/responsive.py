"""Slow requests in threads of their own, so that the server answers others meanwhile, and uploads that leave nothing behind.

MONAI Label declares its endpoints `async` but computes within them, which stops every other request. The same functions
behind plain endpoints run in FastAPI's thread pool. Its own endpoints keep the temporary files of uploads that
are refused.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, File, Form, UploadFile
from monailabel.config import settings
from monailabel.endpoints import activelearning, infer, train
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance

from lumbar_ext.errors import InputError

_USER = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]
_ANNOTATOR = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))]
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
    """As MONAI Label's own endpoint, without files."""
    if file is not None or label is not None:
        raise InputError(
            f"image {image[:120]!r}: not among the images of the studies folder; files are not taken with a request"
        )
    _dictionary(params)
    return infer.run_inference(background_tasks, model, image, session_id, params, None, None, output)


@_router.put("/datastore/image")
def add_image(
    user: _ANNOTATOR,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Annotated[str, Form()] = "{}",
):
    """As MONAI Label's own endpoint."""
    with _uploaded(file) as path:
        name = image or Path(file.filename or path.name).name.split(".")[0]
        return {"image": app_instance().datastore().add_image(name, str(path), _info(params, user))}


@_router.put("/datastore/label")
def save_label(
    user: _ANNOTATOR,
    image: str,
    label: Annotated[UploadFile, File()],
    tag: str = DefaultLabelTag.FINAL.value,
    params: Annotated[str, Form()] = "{}",
):
    """As MONAI Label's own endpoint."""
    with _uploaded(label) as path:
        saved = app_instance().datastore().save_label(image, str(path), tag, _info(params, user))
    return {"image": image, "label": saved}


@contextmanager
def _uploaded(upload: UploadFile) -> Iterator[Path]:
    """An upload as a file with its suffixes, as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="lumbar_ext-") as folder:
        suffixes = "".join(Path(upload.filename or "").suffixes)[-40:]
        path = Path(folder) / f"upload{suffixes}"
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file)
        yield path


def _info(params: str, user: User) -> dict:
    named = {"user": user.username} if user.username else {}
    return {**_dictionary(params), **named}


def _dictionary(params: str) -> dict:
    values = json.loads(params or "{}")
    if not isinstance(values, dict):
        raise InputError("the parameters are no JSON object")
    return values


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
