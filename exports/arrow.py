"""From the database to Arrow and back, in pieces of bounded size.

COPY writes CSV, which Arrow reads many times as fast as Python does. pyarrow is imported where it
is used: it takes more memory than the rest of a process, most of which never need it.
"""

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

# Both small, because an export of any size is to fit beside everything else that a worker has in
# memory; larger ones are hardly faster. Rows of a Parquet file are compressed in groups.
BLOCK_BYTES = 128 * 1024
GROUP_ROWS = 10_000


def open_writer(target: Any, schema: "pyarrow.Schema") -> "pyarrow.parquet.ParquetWriter":
    """Of a path or a file to write to."""
    from pyarrow import parquet

    give_back_memory()
    return parquet.ParquetWriter(target, schema, compression="zstd")


def give_back_memory() -> None:
    """Let Arrow return at once what is done with, where it can, and keep nothing for later."""
    import pyarrow as pa

    if "jemalloc" in pa.supported_memory_backends():
        pa.jemalloc_set_decay_ms(0)
        pa.set_memory_pool(pa.jemalloc_memory_pool())


class Pieces(io.RawIOBase):
    """A file to read from, of pieces that come one after the other."""

    def __init__(self, pieces: Iterable[Any]) -> None:
        self.pieces = iter(pieces)
        self.rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.rest:
            self.rest = self.gathered(len(buffer))
        taken = self.rest[: len(buffer)]
        self.rest = self.rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def gathered(self, wanted: int) -> bytes:
        found, size = [], 0
        for piece in self.pieces:
            found.append(bytes(piece))
            size += len(piece)
            if size >= wanted:
                break
        return b"".join(found)


def batches(copied: Iterable[Any], schema: "pyarrow.Schema") -> "Iterator[pyarrow.RecordBatch]":
    """What COPY ... (FORMAT csv) gave, as columns of those types; an empty cell is null."""
    import pyarrow as pa
    from pyarrow import csv

    source = io.BufferedReader(Pieces(copied), BLOCK_BYTES)
    if not source.peek(1):
        return
    yield from csv.open_csv(
        pa.PythonFile(source, mode="r"),
        read_options=csv.ReadOptions(
            column_names=schema.names, block_size=BLOCK_BYTES, use_threads=False
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def grouped(
    found: "Iterable[pyarrow.RecordBatch]", schema: "pyarrow.Schema"
) -> "Iterator[pyarrow.Table]":
    """The same rows in tables of `GROUP_ROWS` or somewhat more."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = 0
    for batch in found:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= GROUP_ROWS:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def as_csv(batch: "pyarrow.RecordBatch") -> bytes:
    """As COPY ... FROM STDIN (FORMAT csv) reads it: null is an empty cell, no text is quotes."""
    import pyarrow as pa
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(batch, sink, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return bytes(sink.getvalue())
