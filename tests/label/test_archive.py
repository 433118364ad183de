"""MONAI Label's own datastore on a real archive: what it does for this app's images, and where it ends.

docs/label.md says so to users; when an upstream release passes what is refused here, this app can serve an archive.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="needs the extra [label], see docs/label.md")

from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.datastore.dicom import DICOMwebClientX, DICOMWebDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from lumbar_ext.errors import InputError
from lumbar_ext.label.app import LumbarLabelApp
from lumbar_ext.radiographs.dicom_folder import read_header
from tests.pacs.orthanc import LOGIN, orthanc  # noqa: F401, a fixture
from tests.radiographs.dicom_study import SAMPLE, write_image


@pytest.fixture
def upstream(orthanc, tmp_path):  # noqa: F811
    """MONAI Label's datastore on an archive that holds the sample's AP film."""
    film = write_image(tmp_path / "film.dcm", np.asarray(Image.open(SAMPLE / "ap.png")), {"ViewPosition": "AP"})
    orthanc.send(film)
    client = DICOMwebClientX(url=orthanc.url, session=create_session_from_user_pass(*LOGIN))
    return DICOMWebDatastore(client, {"Modality": "DX"}, cache_path=str(tmp_path / "cache"))


def test_it_lists_and_fetches_a_film_but_what_its_header_says_is_gone(upstream):
    image = upstream.list_images()[0]
    path = upstream.get_image_uri(image)
    assert path.endswith(".nii.gz")
    # View, patient, partner and cameras are told by headers and names; a series' UID with pixels tells none.
    assert read_header(Path(path)) is None


def test_it_keeps_no_points(upstream, tmp_path):
    """A final label becomes a DICOM Segmentation (`nifti_to_dicom_seg`), which points are not."""
    image = upstream.list_images()[0]
    points = tmp_path / "points.mrk.json"
    points.write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": []}]}))
    with pytest.raises(Exception) as refused:  # whatever MONAI's reader of images makes of them
        upstream.save_label(image, str(points), DefaultLabelTag.FINAL, {})
    assert not isinstance(refused.value, AssertionError)
    assert upstream.get_labeled_images() == []


def test_so_the_app_refuses_an_archive_and_says_what_it_takes(tmp_path):
    with pytest.raises(InputError, match="expected a local folder of studies, not an archive"):
        LumbarLabelApp(str(tmp_path), "http://127.0.0.1:9/dicom-web", {})
