"""The images of the containers runtime: made when they are missing, from the Dockerfiles beside this file.

An image is named after what it is made from: a change of its Dockerfile, of the lock file or of a build argument
makes another. `python -m harness._images` builds what is missing and prints the names.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import certifi
import docker
from docker.errors import APIError, BuildError, ImageNotFound

from harness._engine import open_engine
from harness._errors import HarnessError, SetupBroken

NAMES = ("postgres", "redis", "rabbitmq", "worker")
REQUIREMENTS = "CELERY_CONFORMANCE_REQUIREMENTS"
"""The environment variable that says what else a worker's image takes, in pip's words with spaces between them."""
_DIRECTORY = Path(__file__).parent / "images"
_LOCK = Path(__file__).parents[1] / "requirements.lock"
_BASE = "debian:bookworm-slim"
_OWN_BASE = "celery-conformance-base:bookworm"
_PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Of the caller's environment, to reach package indexes from inside a build. No image is named after them."""


def image_name(name: str) -> str:
    """The full name of the image that the present files make."""
    digest = hashlib.sha256()
    for path, content in sorted(_files(name).items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    for argument, value in sorted(_arguments(name).items()):
        digest.update(f"{argument}={value}\0".encode())
    return f"celery-conformance-{name}:{digest.hexdigest()[:16]}"


def require_images(client: docker.DockerClient, *, with_rabbitmq: bool = True) -> dict[str, str]:
    """The full names of the images of a run. Raises SetupBroken when one is missing."""
    names = {name: image_name(name) for name in NAMES if with_rabbitmq or name != "rabbitmq"}
    missing = [name for name, full in names.items() if not _exists(client, full)]
    if missing:
        raise SetupBroken(f"no image for {', '.join(missing)} yet, or one made from other files: run `make images`")
    return names


def server_versions(client: docker.DockerClient, *, with_rabbitmq: bool) -> dict[str, str]:
    """What the servers in the images, and the workers' interpreter, call themselves, by product.

    Raises SetupBroken when an image is missing.
    """
    images = require_images(client, with_rabbitmq=with_rabbitmq)
    asked = {
        "Postgres": ("postgres", "postgres --version"),
        "Redis": ("redis", "redis-server --version"),
        "RabbitMQ": ("rabbitmq", "ls /usr/lib/rabbitmq/lib"),
        "Python of workers": ("worker", "python3 --version"),
    }
    versions = {}
    for product, (image, command) in asked.items():
        if image not in images:
            continue
        said = client.containers.run(images[image], ["-c", command], entrypoint="sh", remove=True).decode()
        found = re.search(r"\d+(\.\d+)+", said)
        versions[product] = found.group() if found else said.strip()
    return versions


def build_missing(client: docker.DockerClient) -> dict[str, str]:
    """Build what is missing, saying so; the full names of all. Raises SetupBroken with the end of a failed build."""
    names = {name: image_name(name) for name in NAMES}
    for name, full in names.items():
        if not _exists(client, full):
            sys.stdout.write(f"building {full} ...\n")
            sys.stdout.flush()
            _build(client, name, full, _base(client))
    return names


def _build(client: docker.DockerClient, name: str, full: str, base: str) -> None:
    files = _files(name) | ({"certificates.pem": _certificates()} if name == "worker" else {})
    passed_on = {variable: os.environ[variable] for variable in _PASSED_ON if variable in os.environ}
    try:
        client.images.build(
            fileobj=_archive(files),
            custom_context=True,
            tag=full,
            buildargs={**passed_on, **_arguments(name), "BASE": base},
            rm=True,
            forcerm=True,
        )
    except BuildError as error:
        said = "".join(line.get("stream", "") for line in error.build_log)
        raise SetupBroken(f"the image {name} was not built: {error.msg}\nlast lines:\n{said[-2000:]}") from error
    except APIError as error:
        raise SetupBroken(f"the image {name} was not built: {error.explanation}") from error


def _files(name: str) -> dict[str, bytes]:
    """What an image is made from."""
    files = {path.name: path.read_bytes() for path in (_DIRECTORY / name).iterdir() if path.is_file()}
    if name == "worker":
        files[_LOCK.name] = _LOCK.read_bytes()
    return files


def _arguments(name: str) -> dict[str, str]:
    """What the caller asks to be built otherwise."""
    asked = {"BASE": os.environ.get("BASE")}
    if name == "worker":
        asked["REQUIREMENTS"] = os.environ.get(REQUIREMENTS)
    return {argument: value for argument, value in asked.items() if value}


def _base(client: docker.DockerClient) -> str:
    """The image to build on: the official one, or one made here where it cannot be pulled."""
    asked = os.environ.get("BASE", _BASE)
    if _exists(client, asked):
        return asked
    try:
        client.images.pull(asked)
    except APIError as error:
        if asked != _BASE:
            raise SetupBroken(f"the base {asked} cannot be pulled: {error.explanation}") from error
        if not _exists(client, _OWN_BASE):
            sys.stdout.write(f"{_BASE} cannot be pulled; making {_OWN_BASE} with debootstrap ...\n")
            sys.stdout.flush()
            _bootstrap(client)
        return _OWN_BASE
    return asked


def _bootstrap(client: docker.DockerClient) -> None:
    debootstrap = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if debootstrap is None or os.getuid() != 0:
        raise SetupBroken(
            f"{_BASE} cannot be pulled, and a base can be made here only as root with debootstrap (Debian: apt install "
            "debootstrap); or name another: make images BASE=..."
        )
    repository, _, tag = _OWN_BASE.partition(":")
    with tempfile.TemporaryDirectory() as made:
        tree = Path(made) / "tree"
        run = subprocess.run(
            [debootstrap, "--variant=minbase", "bookworm", str(tree)], capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise SetupBroken(f"debootstrap failed:\n{(run.stdout + run.stderr)[-2000:]}")
        archive = Path(made) / "tree.tar"
        with tarfile.open(archive, "w") as packed:
            packed.add(tree, arcname=".")
        client.api.import_image_from_file(str(archive), repository=repository, tag=tag)


def _certificates() -> bytes:
    """What this machine trusts: the build may have to pass the same gateways."""
    named = (os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    return Path(next((path for path in named if path and Path(path).is_file()), certifi.where())).read_bytes()


def _archive(files: dict[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o755 if content.startswith(b"#!") else 0o644
            archive.addfile(member, io.BytesIO(content))
    packed.seek(0)
    return packed


def _exists(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def main() -> int:
    """Build what is missing."""
    try:
        client = open_engine()
        for full in build_missing(client).values():
            sys.stdout.write(f"{full}\n")
        client.close()
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
