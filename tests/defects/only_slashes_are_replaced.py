"""Of a target, and of a type, slashes are replaced, and nothing else."""

from reference_impl.analysis import files


def apply() -> None:
    files.part_of_path = lambda text: text.replace("/", "_")[:100]
    files._inside = lambda directory, path: directory / path
