"""What training changes in a radiograph: geometry, appearance, the chain of another maker."""
