"""HTTP: where publishers come to."""
