"""Clinical measurements of vertebra meshes: marks on surfaces, pure measuring functions, uncertainty, documents."""
