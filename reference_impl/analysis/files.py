"""Results as files: whole or absent, inside one directory, and found by what they are about.

`<directory>/<target>/app<N>/task_<type>_<task_id>_<timestamp>/result.json`, or `result.json.gz` where it is large.
A file is written into a folder aside, and renamed into its place together with that when it is whole.
Whoever writes holds a lock on that folder to the end, so that what a killed process has left can be told from what is
being written.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

PLAIN, PACKED = "result.json", "result.json.gz"

_PARTIAL = ".partial"
"""A folder for what is not whole yet; no target is called so, as none begins with a dot."""
_PART_CHARS = 100
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_DIGEST_CHARS = 16
_PIECE_BYTES = 65_536
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))}


class NoFileError(Exception):
    """There is no such file, or it is not to be read."""


def part_of_path(text: str) -> str:
    """A text as one part of a path: readable where it is harmless, encoded where it is not, and never too long.

    Two texts that differ have parts that differ.
    """
    encoded = quote(text.encode("utf-8", "surrogatepass"), safe="").replace("~", "%7E")
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if not encoded or encoded.partition(".")[0].lower() in _DEVICES:
        encoded = f"~{encoded}"
    if len(encoded) > _PART_CHARS:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
        encoded = f"{encoded[: _PART_CHARS - _DIGEST_CHARS - 1]}~{digest}"
    return encoded


def folder_of(target: str, app_number: int, analysis_type: str, task_id: str, timestamp: datetime) -> Path:
    """Where the file of an analysis belongs, from the directory of all."""
    moment = timestamp.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    name = f"task_{part_of_path(analysis_type)}_{part_of_path(task_id)}_{moment}"
    return Path(part_of_path(target)) / f"app{app_number}" / name


@dataclass(frozen=True)
class Written:
    """A file: its path from the directory, its size on disk, and whether it was written now, or was there."""

    path: Path
    size_bytes: int
    is_new: bool


def write_whole(directory: Path, folder: Path, text: bytes, gzip_from: int) -> Written:
    """Write the file, or find that somebody has written it. Raises OSError; then nothing, or all of it, can be seen."""
    packed = len(text) >= gzip_from
    data = gzip.compress(text, mtime=0) if packed else text
    place = _inside(directory, folder)
    if (there := _file_in(place)) is not None:
        return Written(folder / there.name, there.stat().st_size, is_new=False)
    name = PACKED if packed else PLAIN
    place.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
    partial = _hidden(directory)
    os.mkdir(partial, _PRIVATE_FOLDER)  # noqa: PTH102 - one step, at which a process may die
    try:
        with _held(partial) as descriptor:
            _write(partial / name, data)
            os.fsync(descriptor)
            _put_in_place(partial, place)
    except BaseException:  # a soft time limit too: nothing of it may stay
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync_folder(place.parent)
    return Written(folder / name, len(data), is_new=True)


def read_whole(directory: Path, path: str) -> bytes:
    """The JSON text of a file. Raises NoFileError."""
    try:
        data = _inside(directory, Path(path)).read_bytes()
        return gzip.decompress(data) if path.endswith(".gz") else data
    except (OSError, EOFError, zlib.error) as error:
        raise NoFileError(f"{path}: {error}") from error


def remove(directory: Path, path: str) -> None:
    """Remove a file with its folder, and folders above it that are empty then. Raises OSError."""
    folder = _inside(directory, Path(path)).parent
    if not folder.exists():
        return
    gone = _hidden(directory)
    folder.rename(gone)
    shutil.rmtree(gone)
    for above in (folder.parent, folder.parent.parent):
        with suppress(OSError):  # somebody else's files are in it
            above.rmdir()


def clean_leftovers(directory: Path) -> int:
    """Remove what killed processes have left of their writing; how many there were."""
    return sum(_remove_leftover(partial) for partial in (directory / _PARTIAL).glob("*"))


def _hidden(directory: Path) -> Path:
    """A name that nobody has, on the same file system, for what is not whole."""
    aside = directory / _PARTIAL
    aside.mkdir(_PRIVATE_FOLDER, exist_ok=True)
    return aside / uuid.uuid4().hex


def _inside(directory: Path, path: Path) -> Path:
    """The path, if no link leads out of the directory. Raises OSError."""
    root = directory.resolve()
    place = (root / path).resolve()
    if not place.is_relative_to(root) or place == root:
        raise OSError(f"{path} leads out of the results directory")
    return place


def _file_in(place: Path) -> Path | None:
    return next((place / name for name in (PLAIN, PACKED) if (place / name).is_file()), None)


@contextmanager
def _held(partial: Path) -> Iterator[int]:
    """Its descriptor, with a lock that says that somebody lives who writes there. Raises OSError."""
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    try:
        for piece in _pieces(data):
            left = piece
            while left:
                left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pieces(data: bytes) -> Iterator[memoryview]:
    whole = memoryview(data)
    for begin in range(0, len(whole), _PIECE_BYTES):
        yield whole[begin : begin + _PIECE_BYTES]


def _put_in_place(partial: Path, place: Path) -> None:
    try:
        os.rename(partial, place)  # noqa: PTH104 - one step, at which a process may die
    except OSError:
        if _file_in(place) is None:
            raise
        shutil.rmtree(partial)  # somebody else was faster


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftover(partial: Path) -> bool:
    """Whether it was one: nobody writes it. A writer that has not taken its lock yet finds it gone, and tries again."""
    try:
        with _held(partial):
            gone = partial.with_name(f"{partial.name}-left")
            partial.rename(gone)
        shutil.rmtree(gone)
    except OSError:
        return False
    return True
