"""Closed triangle meshes: to measure, cut, voxelise, remesh, read and write."""
