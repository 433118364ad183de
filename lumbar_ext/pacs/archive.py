"""An archive (PACS) as this package uses it: find studies, fetch their radiographs, store results. DICOMweb, PS3.18.

Nothing here logs or raises a value of a header: messages name the archive and what failed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.dicom_folder import MODALITIES
from lumbar_ext.report.dicom.header import MEASUREMENTS_SERIES

USER, PASSWORD, TOKEN = "LUMBAR_EXT_PACS_USER", "LUMBAR_EXT_PACS_PASSWORD", "LUMBAR_EXT_PACS_TOKEN"
"""Environment variables of the credentials, where no file holds them."""

_REPORT = "measurements.dcm"
_SECONDS = 60.0  # for an answer of the archive
_STUDY_UID, _SERIES_UID, _MODALITY, _DESCRIPTION = "0020000D", "0020000E", "00080060", "0008103E"
# What it says of a failure holds the address that was asked, with what was looked for.
logging.getLogger("retrying").setLevel(logging.CRITICAL)
_LOCAL = ("localhost", "127.0.0.1", "::1")


class ArchiveError(Exception):
    """The archive does not answer, or not as it should; another time it may."""


@dataclass(frozen=True)
class Archive:
    """Where an archive is, and how one is let in.

    Args:
        url: of its DICOMweb service, such as https://pacs.example.org/dicom-web.
        credentials: JSON file {"user": ..., "password": ...} or {"token": ...} that only its owner can read; empty for the
            environment's `USER` and `PASSWORD`, or `TOKEN`, or none.
        ca_bundle: file of the certificates that its own must descend from; empty for the system's.
    """

    url: str
    credentials: str = ""
    ca_bundle: str = ""

    def studies(self, filters: Mapping[str, str]) -> list[str]:
        """The UIDs of all studies that QIDO finds.

        Args:
            filters: DICOM keyword to value, such as {"StudyDate": "20260101-", "ModalitiesInStudy": "DX"}.

        Raises:
            ArchiveError: if the archive does not answer.
            InputError: if it refuses the credentials, or the filters.
        """
        with self._client() as client:
            return list(_all_pages(partial(client.search_for_studies, search_filters=dict(filters)), _STUDY_UID))

    def has_results(self, study_uid: str) -> bool:
        """Whether a report of this package lies with a study."""
        with self._client() as client:
            search = partial(client.search_for_series, study_uid, fields=["SeriesDescription"])
            series = _all_pages(search, _SERIES_UID).values()
        return any(
            _value(item, _MODALITY) == "SR" and _value(item, _DESCRIPTION).startswith(MEASUREMENTS_SERIES)
            for item in series
        )

    def fetch(self, study_uid: str, folder: str | Path) -> None:
        """Writes the radiographs of a study as files into a folder."""
        with self._client() as client:
            found = _all_pages(partial(client.search_for_series, study_uid), _SERIES_UID)
            wanted = [uid for uid, series in found.items() if _value(series, _MODALITY) in MODALITIES]
            images = [image for uid in wanted for image in client.retrieve_series(study_uid, uid)]
        for number, image in enumerate(images):
            image.save_as(Path(folder, f"{number:04d}.dcm"), enforce_file_format=True)

    def store_files(self, study_uid: str, paths: Iterable[str | Path]) -> None:
        """Stores the DICOM files of a reconstruction; the report last, as it says that the results are there.

        Raises:
            ArchiveError: if the archive does not take one.
        """
        ordered = sorted(map(Path, paths), key=lambda path: (path.name == _REPORT, path.name))
        self.store(study_uid, [dcmread(path) for path in ordered])

    def store(self, study_uid: str, objects: Sequence[Dataset]) -> None:
        """Stores objects with a study, one after the other.

        Raises:
            ArchiveError: if the archive does not take one.
        """
        with self._client() as client:
            for data in objects:
                answer = client.store_instances([data], study_instance_uid=study_uid)
                if answer.get("FailedSOPSequence"):
                    raise ArchiveError(f"{self.url}: does not store objects of the class {data.SOPClassUID.name}")

    @contextmanager
    def _client(self) -> Iterator[DICOMwebClient]:
        try:
            with self._session() as session:
                yield DICOMwebClient(self.url, session=session, timeout=_SECONDS)
        except requests.HTTPError as error:
            # The error itself holds the address that was asked, with what was looked for.
            status = error.response.status_code
            if status in (401, 403):
                raise InputError(f"{self.url}: refuses these credentials (HTTP status {status})") from None
            if status == 400:
                raise InputError(f"{self.url}: refuses the question, a filter perhaps (HTTP status 400)") from None
            raise ArchiveError(f"{self.url}: answers with HTTP status {status}") from None
        except requests.exceptions.SSLError:
            raise InputError(f"{self.url}: its certificate cannot be verified; --ca_bundle names yours") from None
        except requests.RequestException as error:
            raise ArchiveError(f"{self.url}: no answer ({type(error).__name__})") from None
        except (ValueError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            raise ArchiveError(f"{self.url}: not an answer of DICOMweb ({type(error).__name__})") from None

    def _session(self) -> requests.Session:
        session = _Session()
        if self.ca_bundle and not Path(self.ca_bundle).exists():
            raise InputError(f"{self.ca_bundle}: no such file, expected the certificates to trust")
        session.verify = self.ca_bundle or True
        given = self._given()
        if given and urlsplit(self.url).scheme != "https" and urlsplit(self.url).hostname not in _LOCAL:
            raise InputError(f"{self.url}: credentials are sent over https only")
        if given.get("token"):
            session.headers["Authorization"] = f"Bearer {given['token']}"
        elif given.get("user"):
            session.auth = (given["user"], given.get("password", ""))
        return session

    def _given(self) -> dict[str, str]:
        if not self.credentials:
            names = {"user": USER, "password": PASSWORD, "token": TOKEN}
            return {name: os.environ[variable] for name, variable in names.items() if os.environ.get(variable)}
        path = Path(self.credentials)
        try:
            if path.stat().st_mode & 0o077:
                raise InputError(f"{path}: others can read these credentials, expected permissions 600")
            given = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError):
            raise InputError(f"{path}: cannot be read as credentials in JSON") from None
        if not isinstance(given, dict) or not {"user", "token"} & given.keys():
            raise InputError(f"{path}: expected user and password, or token")
        return {name: str(value) for name, value in given.items()}


class _Session(requests.Session):
    """A session whose own bundle of certificates is heeded."""

    def merge_environment_settings(self, url: str, proxies: Any, stream: Any, verify: Any, cert: Any) -> dict[str, Any]:
        """Of a bundle named here and another named by the environment (`REQUESTS_CA_BUNDLE`), requests takes the latter."""
        return super().merge_environment_settings(url, proxies, stream, verify or self.verify, cert)


def _all_pages(search: Callable[..., list[dict]], uid_tag: str) -> dict[str, dict]:
    """By their UIDs, what all pages of a search hold.

    A page on which nothing is new is the last one: an archive may take no notice of the offset, as Orthanc 1.10 does where a
    filter is not in its index (Modalities in Study).
    """
    found: dict[str, dict] = {}
    seen = 0
    while True:
        page = search(offset=seen)
        seen += len(page)
        new = {uid: item for item in page if (uid := _value(item, uid_tag)) and uid not in found}
        if not new:
            return found
        found |= new


def _value(item: Mapping[str, dict], tag: str) -> str:
    """The first value of an element of a DICOM JSON object, empty where there is none."""
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])
