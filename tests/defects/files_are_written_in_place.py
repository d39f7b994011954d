"""A file is made where it belongs, and then written."""

import os
from pathlib import Path

from reference_impl.analysis import files
from reference_impl.analysis.files import Written


def apply() -> None:
    def write(directory: Path, folder: Path, text: bytes, gzip_from: int) -> Written:
        place = directory / folder
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            os.mkdir(place)  # noqa: PTH102 - as the reference does
            files._write(place / files.PLAIN, text)
        return Written(folder / files.PLAIN, len(text), is_new=True)

    files.write_whole = write
