"""A target, and a type, is part of the path as it is."""

from reference_impl.analysis import files


def apply() -> None:
    files.part_of_path = lambda text: text
    files._inside = lambda directory, path: directory / path
