"""Ten thousand studies: what is to be reconstructed, what became of each, and all of it in one table and on one page."""
