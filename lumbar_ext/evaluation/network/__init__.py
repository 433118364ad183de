"""Errors of the network: tables beside the paper's, cross-validation, ablation, calibrated confidences."""
