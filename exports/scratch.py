"""Files that are needed for a moment, in the data directory: as large as what is made there."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings

from exports.places import PlaceError

# What a killed process left behind is nobody's after so long.
FORGOTTEN_SECONDS = 24 * 3600


def directory() -> Path:
    path = Path(settings.DATA_DIR) / "exports" / "scratch"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def scratch_file(suffix: str, fill: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """A file that is gone when the block ends. Raises PlaceError where the disk is full."""
    try:
        with tempfile.NamedTemporaryFile(dir=directory(), suffix=suffix, delete=False) as made:
            path = Path(made.name)
        try:
            if fill is not None:
                fill(path)
            yield path
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise PlaceError(f"{error.strerror or error} (in the data directory)") from error


def sweep() -> None:
    """Take away what killed processes left."""
    for path in directory().iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                path.unlink()
