"""How addresses of files are written, in the API and the admin."""

from exports.catalogue import DATASETS
from exports.kinds import EXTENSIONS


def one_of(name: str, words: list[str]) -> str:
    return f"(?P<{name}>{'|'.join(word.replace('.', '[.]') for word in words)})"


DATASET = one_of("dataset", list(DATASETS))
EXTENSION = one_of("extension", EXTENSIONS)
