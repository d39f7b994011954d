"""PERSIST: results in the database and on disk."""
