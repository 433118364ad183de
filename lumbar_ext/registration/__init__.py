"""Registration: from two decompositions and their landmarks to posed vertebra meshes."""

from lumbar_ext.landmarks.triangulated import Landmarks3D, ViewLandmarks, triangulate_landmarks
from lumbar_ext.registration.config import (
    CONFIGS,
    RegistrationConfig,
    bobyqa_config,
    gauss_newton_config,
    paper_config,
    registration_config,
)
from lumbar_ext.registration.free_form import FreeForm
from lumbar_ext.registration.initial_pose import InitialPose, InitialPoseConfig, initial_poses
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.register import GroupDecomposition, RegistrationInput, register
from lumbar_ext.registration.result import RegistrationResult, StopReason, VertebraFit
from lumbar_ext.registration.search.bobyqa import BlockStage, BobyqaBlocks, BobyqaJoint
from lumbar_ext.registration.search.gauss_newton import GaussNewton, GaussNewtonStage, Varying
from lumbar_ext.registration.search.optimiser import Optimiser
from lumbar_ext.registration.targets import ObservedLandmarks, VertebraStart, ViewTarget
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.landmark_term import LandmarkTerm
from lumbar_ext.registration.terms.landmark_weights import LandmarkWeights
from lumbar_ext.registration.terms.non_intersection import NonIntersection
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import AbsoluteError, Huber, Similarity, SquaredError
from lumbar_ext.registration.terms.term import Term
from lumbar_ext.registration.terms.view_fields import ViewFields
from lumbar_ext.shape.model.level_shape import LevelShape, SurfaceModes, level_shapes

__all__ = [
    "CONFIGS",
    "AbsoluteError",
    "BlockStage",
    "BobyqaBlocks",
    "BobyqaJoint",
    "Bounds",
    "FreeForm",
    "GaussNewton",
    "GaussNewtonStage",
    "GroupDecomposition",
    "Huber",
    "ImageTerm",
    "InitialPose",
    "InitialPoseConfig",
    "LandmarkTerm",
    "LandmarkWeights",
    "Landmarks3D",
    "LevelShape",
    "NonIntersection",
    "ObservedLandmarks",
    "Optimiser",
    "RegistrationConfig",
    "RegistrationInput",
    "RegistrationProblem",
    "RegistrationResult",
    "ShapePriorTerm",
    "Similarity",
    "SquaredError",
    "StopReason",
    "SurfaceModes",
    "Term",
    "Varying",
    "VertebraFit",
    "VertebraStart",
    "ViewFields",
    "ViewLandmarks",
    "ViewTarget",
    "bobyqa_config",
    "gauss_newton_config",
    "initial_poses",
    "level_shapes",
    "paper_config",
    "register",
    "registration_config",
    "triangulate_landmarks",
]
