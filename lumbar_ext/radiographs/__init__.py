"""One image file to pixels with bone bright, and what DICOM headers tell of a pair of them.

The modules `dicom_*` need pydicom, which the extras `[dicom]`, `[deploy]` and `[label]` bring.
"""
