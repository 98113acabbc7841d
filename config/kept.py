"""Secrets that are made once and kept in the data directory, in files for the owner only."""

import os
from pathlib import Path


def read(path: Path) -> str:
    """The secret, or nothing where none is kept."""
    return path.read_text().strip() if path.is_file() else ""


def keep(path: Path, secret: str) -> None:
    """Written beside its place and renamed, so that a reader never meets half a secret."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
