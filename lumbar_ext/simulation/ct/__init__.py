"""Bodies made of voxels: studies of a real CT, and simulated people as CT numbers."""
