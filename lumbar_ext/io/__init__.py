"""Reading and writing studies: radiographs, calibrations, landmarks, meshes; output that is complete or absent."""

from lumbar_ext.io.atomic import atomic_path, staged_output
from lumbar_ext.io.calibration import read_calibration, write_calibration
from lumbar_ext.io.formats import read_radiograph
from lumbar_ext.io.landmarks import StudyLandmarks, read_landmarks, write_landmarks
from lumbar_ext.io.mesh import read_mesh, write_stl
from lumbar_ext.io.nifti import read_nifti_image, write_nifti_image
from lumbar_ext.io.png import write_png
from lumbar_ext.io.radiograph import Radiograph, with_bone_bright
from lumbar_ext.io.study import BiplanarStudy, read_study

__all__ = [
    "BiplanarStudy",
    "Radiograph",
    "StudyLandmarks",
    "atomic_path",
    "read_calibration",
    "read_landmarks",
    "read_mesh",
    "read_nifti_image",
    "read_radiograph",
    "read_study",
    "staged_output",
    "with_bone_bright",
    "write_calibration",
    "write_landmarks",
    "write_nifti_image",
    "write_png",
    "write_stl",
]
