"""The published outputs of the methods, for their tests only."""

import zipfile

import cv2
import numpy as np
import pytest


class Published:
    """Images of the archive by name."""

    def __init__(self, archive):
        self._archive = archive

    def image(self, name):
        """(H, W) uint8."""
        return cv2.imdecode(np.frombuffer(self._archive.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)

    def sources(self, stem):
        """Visible and thermal."""
        return self.image(f"sources/visible/{stem}.png"), self.image(f"sources/thermal/{stem}.png")

    def open(self, name):
        """A file of the archive."""
        return self._archive.open(name)


@pytest.fixture(scope="session")
def published(data_dir):
    """The archive, or a skip."""
    path = data_dir / "seed_methods.zip"
    if not path.is_file():
        pytest.skip(f"{path} is not there: the published outputs of the methods")
    with zipfile.ZipFile(path) as archive:
        yield Published(archive)
