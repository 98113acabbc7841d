"""Every kind of file there is, and packing them."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from exports.containers import Parquet, Xlsx
from exports.formats import Csv, FileFormat, Json, JsonLines

FORMATS: dict[str, FileFormat] = {
    "csv": Csv(),
    "json": Json(),
    "jsonl": JsonLines(),
    "xlsx": Xlsx(),
    "parquet": Parquet(),
}
# The others are packed in themselves.
CAN_BE_PACKED = ("csv", "json", "jsonl")
GZIP = ".gz"
EXTENSIONS = [*FORMATS, *(name + GZIP for name in CAN_BE_PACKED)]
LEVEL = 6


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is, by what its name ends in."""

    extension: str
    file_format: FileFormat
    packed: bool

    @property
    def media_type(self) -> str:
        return "application/gzip" if self.packed else self.file_format.media_type


def kind_of(extension: str) -> Kind:
    """Raises KeyError."""
    if extension not in EXTENSIONS:
        raise KeyError(extension)
    name = extension.removesuffix(GZIP)
    return Kind(extension, FORMATS[name], packed=name != extension)


def packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same as one gzip file, piece by piece."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in pieces:
        if made := packer.compress(piece):
            yield made
    yield packer.flush()
