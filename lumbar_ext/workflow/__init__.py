"""The main job as a walk of stages."""
