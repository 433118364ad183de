"""Files of users to surfaces: meshes, label maps, cohort files, landmarks."""
