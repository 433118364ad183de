"""The calibration of a pair of films on which markers of a phantom were marked."""

from __future__ import annotations

import csv

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.geometry.camera_fit import fit_cone_beam
from lumbar_ext.io import write_calibration
from lumbar_ext.io.input_file import MAX_DOCUMENT_BYTES, require_file
from lumbar_ext.radiographs.formats import read_radiograph

_COLUMNS = ("view", "x_mm", "y_mm", "z_mm", "u_px", "v_px")
_WORST_MM = 2.0  # on the film: ten times what a careful mark is off


def write_phantom_calibration(
    points: str, ap_image: str, lat_image: str, output: str, *, pixel_spacing_mm: float | None = None
) -> None:
    """Writes the calibration of two cone beams from the markers of a phantom.

    Args:
        points: CSV file with the columns view (ap or lat), x_mm, y_mm, z_mm (the marker in the room: X to the front of the
            person who will stand there, Y to the left, Z up), u_px, v_px (column and row of the marker on the film); at
            least six markers a view, not in one plane.
        ap_image: AP film of the phantom, or of the person by the same camera.
        lat_image: lateral film, likewise.
        output: the JSON file to write.
        pixel_spacing_mm: on the detector, of films that do not state it (PNG).

    Raises:
        InputError: for a file that cannot be used, too few markers or markers in one plane, a film without pixel spacing, or a
            marker that is seen more than 2 mm from where it was marked.
    """
    marked, cameras = _read(points), {}
    for view, image in zip(VIEWS, (ap_image, lat_image), strict=True):
        film = read_radiograph(image)
        spacing = film.pixel_spacing_mm or (None if pixel_spacing_mm is None else (pixel_spacing_mm, pixel_spacing_mm))
        if spacing is None:
            raise InputError(f"{image}: states no pixel spacing, expected --pixel_spacing_mm")
        try:
            fitted = fit_cone_beam(
                marked[view][:, :3], marked[view][:, 3:], size_px=film.size_px, pixel_spacing_mm=spacing
            )
        except InputError as error:
            raise InputError(f"{points}: {view} view: {error}") from error
        worst = int(np.argmax(fitted.residual_mm))
        if not fitted.residual_mm[worst] <= _WORST_MM:
            raise InputError(
                f"{points}: {view} view: marker {worst + 1} is seen {fitted.residual_mm[worst]:.1f} mm from where it was "
                f"marked, expected at most {_WORST_MM:g} mm: were two markers exchanged?"
            )
        cameras[view] = fitted.camera
        rms = np.sqrt(np.square(fitted.residual_mm).mean())
        distance = abs(fitted.camera.source_distance_mm)
        print(f"{view}: {len(marked[view])} markers, {rms:.2f} mm on the detector, source at {distance:.0f} mm")
    write_calibration(BiplanarGeometry(**cameras), output)
    print(output)


def _read(path: str) -> dict[str, np.ndarray]:
    """By view, [N, 5] x, y, z, u and v of its markers."""
    text = require_file(path, "a CSV file of markers", MAX_DOCUMENT_BYTES).read_text(encoding="utf-8-sig")
    rows = csv.DictReader(text.splitlines())
    if tuple(rows.fieldnames or ()) != _COLUMNS:
        raise InputError(f"{path}: the columns {', '.join(rows.fieldnames or ())}, expected {', '.join(_COLUMNS)}")
    found = {view: [] for view in VIEWS}
    for number, row in enumerate(rows, start=2):
        try:
            values = [float(row[name]) for name in _COLUMNS[1:]]
            found[row["view"]].append(values)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}: line {number}, expected ap or lat and five numbers") from error
        if not np.isfinite(values).all():
            raise InputError(f"{path}: line {number} holds a number that is not finite")
    return {view: np.array(own, dtype=float).reshape(-1, 5) for view, own in found.items()}
