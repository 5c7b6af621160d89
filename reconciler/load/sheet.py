"""A sample sheet (CSV or TSV text) → rows.

Job: read what spreadsheets write. Input: text. Output: Row…, every cell a string. A byte order mark, CRLF, blanks
at the end of a cell, blank lines at the end and blank columns on the right are forgiven; anything else that does
not fit is an error with its row (the header is row 1) and column. Must not: guess types.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

MAX_CELL = 1024 * 1024


class SheetError(ValueError):
    """The sheet does not fit; `row` counts from 1, the header, `column` too; `str()` says what is wrong and what to write."""

    def __init__(self, row: int, what: str, column: int = 1) -> None:
        self.row = row
        self.column = column
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Row:
    """One row by column name; `number` as a spreadsheet shows it."""

    number: int
    cells: dict[str, str]


def rows(text: str, file: str) -> list[Row]:
    """The rows of a sheet; `file` ends in .tsv or .tab for tabs, else a tab in a header without commas decides."""
    records = _records(text, _delimiter(text, file))
    while records and not any(records[-1]):
        records.pop()
    if not records:
        raise SheetError(1, "the sheet is empty. Write a header, then a row for each element.")
    names = [name.strip() for name in records[0]]
    while names and not names[-1]:
        names.pop()
    _check_header(names)
    found = [_row(number, names, record) for number, record in enumerate(records[1:], start=2)]
    if not found:
        raise SheetError(1, "the sheet has a header and no rows. Write a row for each element.")
    return found


def _delimiter(text: str, file: str) -> str:
    header = text.partition("\n")[0]
    return "\t" if file.lower().endswith((".tsv", ".tab")) or ("\t" in header and "," not in header) else ","


def _records(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    try:
        for record in reader:
            records.append([cell.rstrip(" \t") for cell in record])
    except csv.Error as error:
        raise SheetError(len(records) + 1, f"this row cannot be read: {error}. Check its quotes.") from None
    return records


def _check_header(names: list[str]) -> None:
    if len(names) == 1 and ";" in names[0]:
        raise SheetError(1, "the columns are separated by `;`. Save the sheet with commas or tabs.")
    if not names:
        raise SheetError(1, "the header is empty. Name the columns in row 1.")
    seen: set[str] = set()
    for column, name in enumerate(names, start=1):
        if not name:
            raise SheetError(1, f"column {column} has no name. Name it, or delete the column.", column)
        if name in seen:
            raise SheetError(
                1, f"two columns are named {name!r}, the second is column {column}. Rename one.", column
            )
        seen.add(name)


def _row(number: int, names: list[str], record: list[str]) -> Row:
    if not any(record):
        raise SheetError(number, "the row is empty. Delete it.")
    if len(record) < len(names):
        raise SheetError(
            number,
            f"the row ends before column {len(record) + 1} ({names[len(record)]}): {len(record)} cells for {len(names)} columns. Write every cell.",
            len(record) + 1,
        )
    for column, cell in enumerate(record[len(names) :], start=len(names) + 1):
        if cell:
            raise SheetError(
                number,
                f"the cell {cell!r} in column {column} lies beyond the header's {len(names)} columns. Name the column, or quote a cell that has a comma.",
                column,
            )
    return Row(number, dict(zip(names, record, strict=False)))
