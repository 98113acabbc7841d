"""Files as spreadsheets write them, and what is wrong with one in words."""

import csv
import difflib
from collections.abc import Iterable, Sequence
from typing import Any
from zipfile import BadZipFile

import tablib
from import_export.formats import base_formats
from openpyxl.utils.exceptions import InvalidFileException

# What parts the cells of a file that is called CSV, in whatever country it was saved.
DELIMITERS = (",", ";", "\t")
NOT_READ = "This file could not be read in that format. Choose the format that it was saved in."


class UnreadableFile(Exception):
    """Says in a sentence why, and what to do."""


class CsvFile(base_formats.CSV):
    """Cells parted by commas, semicolons or tabs, in UTF-8 or as older Windows programs write."""

    def is_binary(self) -> bool:
        return True

    def get_read_mode(self) -> str:
        return "rb"

    def create_dataset(self, in_stream: Any, **kwargs: Any) -> tablib.Dataset:
        """Raises UnreadableFile."""
        text = in_stream if isinstance(in_stream, str) else decoded(in_stream)
        first = text.partition("\n")[0]
        delimiter = max(DELIMITERS, key=first.count)
        try:
            rows = [row for row in csv.reader(text.splitlines(True), delimiter=delimiter) if row]
        except csv.Error as error:
            raise UnreadableFile(NOT_READ) from error
        if not rows:
            return tablib.Dataset()
        return dataset_of(rows[0], rows[1:])


class XlsxFile(base_formats.XLSX):
    def create_dataset(self, in_stream: Any) -> tablib.Dataset:
        """Raises UnreadableFile."""
        try:
            return super().create_dataset(in_stream)
        except (BadZipFile, InvalidFileException, KeyError, StopIteration) as error:
            raise UnreadableFile(NOT_READ) from error


def decoded(stream: bytes) -> str:
    if b"\x00" in stream:
        raise UnreadableFile(NOT_READ)
    try:
        return stream.decode("utf-8-sig")
    except UnicodeDecodeError:
        return stream.decode("cp1252", errors="replace")


def dataset_of(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> tablib.Dataset:
    """Raises UnreadableFile. Empty cells at the end of a row need not be there."""
    found = tablib.Dataset(headers=[header.strip() for header in headers])
    for number, row in enumerate(rows, start=1):
        if len(row) > len(headers):
            raise UnreadableFile(
                f"Row {number} has {len(row)} cells, and there are {len(headers)} columns. Put "
                "what has a comma in it between quotes, and write amounts without separators of "
                "thousands."
            )
        found.append([*row, *[""] * (len(headers) - len(row))])
    return found


def wrong_columns(headers: Sequence[Any], *, needed: Sequence[str], known: Sequence[str]) -> str:
    """What is wrong with the columns of a file, in sentences; empty where nothing is."""
    given = [str(header or "").strip() for header in headers]
    said = [unknown_column(name, known) for name in given if name and name not in known]
    said += [f"The column {name} is missing." for name in needed if name not in given]
    return " ".join([*said, f"The columns are {', '.join(known)}."]) if said else ""


def unknown_column(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"There is no column {name!r}" + (f": did you mean {near[0]}?" if near else ".")
