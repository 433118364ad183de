"""DICOM radiographs by what their headers tell: which two belong together, their views, their cameras.

Needs pydicom, which the extras `[dicom]`, `[deploy]` and `[label]` bring.
"""
