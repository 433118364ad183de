"""The MONAI Deploy application: a folder of DICOM radiographs in, meshes and DICOM results out.

Needs the extra `[deploy]` in an environment of its own, see docs/deploy.md.
"""

from lumbar_ext.deploy.cuda_runtime import load_cuda_runtime

# Beside the SDK even `import monai` needs this library, so it comes before any other import of this package.
load_cuda_runtime()
