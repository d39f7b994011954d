"""RESULT: retrieving results, waiting for them, watching."""
