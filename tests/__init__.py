"""Evidence: the reference is sound, the checks are right, and every scenario can fail."""
