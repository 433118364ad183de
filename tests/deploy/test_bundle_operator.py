"""The operator runs any bundle on named inputs: here the network bundle on one radiograph."""

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, Operator

from lumbar_ext.deploy.bundle_operator import BundleOperator
from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from tests.deploy.conftest import BUNDLES
from tests.radiographs.dicom_study import SAMPLE, SPACING_MM

BUNDLE = BUNDLES / "lumbar_multitask"
IMAGE = str(SAMPLE / "lat.png")


class Source(Operator):
    """Emits named values."""

    def __init__(self, *args, values, **kwargs):
        self.values = values
        super().__init__(*args, **kwargs)

    def setup(self, spec):
        for name in self.values:
            spec.output(name)

    def compute(self, op_input, op_output, context):
        for name, value in self.values.items():
            op_output.emit(value, name)


class Sink(Operator):
    """Keeps the folder it receives."""

    def setup(self, spec):
        spec.input("folder")

    def compute(self, op_input, op_output, context):
        self.fragment.received = op_input.receive("folder")


class OneBundle(Application):
    """Named values, a bundle, a sink."""

    def __init__(self, root, values, output_dir):
        self.root, self.values, self.output_dir = root, values, output_dir
        super().__init__()

    def compose(self):
        source = Source(self, CountCondition(self, 1), values=self.values, name="source")
        options = {"pixel_spacing_mm": SPACING_MM}
        bundle = BundleOperator(
            self,
            bundle_root=self.root,
            inputs=self.values,
            output_dir=self.output_dir,
            overrides=options,
            name="bundle",
        )
        self.add_flow(source, bundle, {(name, name) for name in self.values})
        self.add_flow(bundle, Sink(self, name="sink"), {("folder", "folder")})


def test_the_network_bundle_gives_what_it_gives_alone(tmp_path):
    application = OneBundle(BUNDLE, {"image": IMAGE, "view": "lat"}, tmp_path / "out")
    application.run()
    assert application.received == tmp_path / "out"
    alone = ConfigWorkflow(
        config_file=str(BUNDLE / "configs" / "inference.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(BUNDLE),
        image=IMAGE,
        view="lat",
        pixel_spacing_mm=SPACING_MM,
        output_dir=str(tmp_path / "alone"),
    )
    alone.initialize()
    alone.run()
    found, expected = (
        read_landmarks(tmp_path / name / "lat_landmarks.json").positions_px["lat"] for name in ("out", "alone")
    )
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).any()


@pytest.mark.parametrize(
    "root, values, message",
    [
        (BUNDLES, {"image": IMAGE, "view": "lat"}, r"inference\.json: no such file, expected a bundle"),
        (BUNDLE, {"image": "nowhere.png", "view": "lat"}, r"nowhere\.png: no such file"),
        (BUNDLE, {"image": IMAGE, "view": "front"}, "expected one of"),
    ],
)
def test_what_a_bundle_cannot_use_is_said(tmp_path, root, values, message):
    with pytest.raises(InputError, match=message):
        OneBundle(root, values, tmp_path / "out").run()
