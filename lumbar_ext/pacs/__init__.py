"""Studies out of a DICOM archive and results back into it, by DICOMweb."""
