"""MONAI transforms between radiographs and the network: grids, intensities, augmentation, targets, decoding."""
