"""DICOM radiographs by what their headers tell: which two belong together, their views, their cameras."""
