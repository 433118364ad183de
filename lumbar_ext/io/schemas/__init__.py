"""JSON Schemas of the files that lumbar_ext reads and writes (package data)."""
