"""The file in which MONAI Label looks for the app (`monailabel start_server --app lumbar_ext/label`)."""

from lumbar_ext.label.app import LumbarLabelApp

__all__ = ["LumbarLabelApp"]
