"""The specification: the catalogue of promises, and the scenarios that judge them."""
