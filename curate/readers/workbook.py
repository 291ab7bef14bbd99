"""The first sheet of an Excel workbook that holds anything, row by row (python-calamine, the extra `excel`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from curate.types import UserError
from curate.unchanged import Stamp

_PACKAGE = "python-calamine"


def calamine_package() -> str:
    """The name of the package that reads workbooks; a UserError where it isn't installed."""
    try:
        version(_PACKAGE)
    except PackageNotFoundError:
        raise UserError(
            'reading .xlsx needs python-calamine, which is not installed: pip install "jingtiao[excel]", '
            "or save the sheet as CSV"
        ) from None
    return _PACKAGE


def sheet_rows(
    path: Path, name: str, counts: Counter[str], stamp: Stamp | None = None
) -> Iterator[tuple[int, list[Any]]]:
    """(row number, cells) of the first sheet that holds anything; blank cells are None, blank rows only counted."""
    for _, rows in sheets(path, name, stamp):
        empty = True
        for number, cells in enumerate(rows, 1):
            if any(cell is not None for cell in cells):
                empty = False
                yield number, cells
            elif not empty:
                counts["blank_rows"] += 1
        if not empty:
            return


def sheets(path: Path, name: str, stamp: Stamp | None = None) -> Iterator[tuple[str, Iterator[list[Any]]]]:
    """The name and the rows of every sheet of cells, in the order of the workbook."""
    calamine_package()
    from python_calamine import CalamineError, SheetTypeEnum, load_workbook

    try:
        book = load_workbook(path)
        for sheet in book.sheets_metadata:
            if sheet.typ == SheetTypeEnum.WorkSheet:  # not a chart
                rows = book.get_sheet_by_name(sheet.name).iter_rows()  # all in memory now
                if stamp is not None:
                    stamp.check(path)
                yield sheet.name, ([_cell(cell) for cell in row] for row in rows)
    except (CalamineError, OSError, ValueError) as error:
        if stamp is not None:
            stamp.check(path)
        raise UserError(f"{name}: can't be read as an Excel workbook ({error}): save it again, or as CSV") from None


def _cell(value: Any) -> Any:
    """None for a blank cell; an integer for a whole number, since a cell doesn't tell 1 from 1.0."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value
