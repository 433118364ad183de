"""A reconstruction as DICOM objects of its radiographs' study. Needs the extra `[dicom]` (highdicom)."""
