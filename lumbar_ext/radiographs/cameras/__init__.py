"""Where the cameras of DICOM studies come from."""
