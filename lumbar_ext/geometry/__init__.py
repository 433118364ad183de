"""Frames, cameras and triangulation. Plain numpy, no state."""

from lumbar_ext.geometry.biplanar import BiplanarGeometry
from lumbar_ext.geometry.camera import Camera, Rays
from lumbar_ext.geometry.cone_beam import ConeBeam
from lumbar_ext.geometry.rigid import RigidTransform, euler_rotation, fit_rigid
from lumbar_ext.geometry.slot_scan import SlotScan
from lumbar_ext.geometry.triangulation import Triangulation, triangulate

__all__ = [
    "BiplanarGeometry",
    "Camera",
    "ConeBeam",
    "Rays",
    "RigidTransform",
    "SlotScan",
    "Triangulation",
    "euler_rotation",
    "fit_rigid",
    "triangulate",
]
