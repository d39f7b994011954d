"""Names the catalogue that these scenarios judge."""

from pathlib import Path


def pytest_conformance_catalogue() -> Path:
    """The plugin's hook."""
    return Path(__file__).parent / "catalogue.toml"
