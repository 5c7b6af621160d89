from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from reconciler.load import sheet

NAME = st.text("abcdefgh_", min_size=1, max_size=5)
CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(lambda text: text.rstrip(" \t"))


@given(st.data())
def test_what_is_written_as_csv_or_tsv_comes_back_as_the_same_text(data: st.DataObject) -> None:
    names = data.draw(st.lists(NAME, min_size=1, max_size=4, unique=True))
    row = st.lists(CELL, min_size=len(names), max_size=len(names)).filter(any)
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    ending = data.draw(st.sampled_from(["\n", "\r\n"]))
    delimiter, file = data.draw(st.sampled_from([(",", "s.csv"), ("\t", "s.tsv"), ("\t", "sheet.TAB")]))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=ending).writerows([names, *rows])
    found = sheet.rows(
        text.getvalue() + data.draw(st.sampled_from(["", ending, f"  {ending}{ending}"])), file
    )
    assert [list(one.cells.values()) for one in found] == rows
    assert [one.number for one in found] == list(range(2, len(rows) + 2))


def test_a_line_break_in_a_cell_counts_as_one_row() -> None:
    found = sheet.rows('a,b\n"x\ny",1\nz,2\n', "s.csv")
    assert [(one.number, one.cells["a"]) for one in found] == [(2, "x\ny"), (3, "z")]
