"""The same rows in every format of files; workbooks are written out by hand, as ECMA-376 says."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import polars as pl

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


FORMATS = ("jsonl", "json", "parquet", "xlsx", "csv")


def as_lines(rows: list[dict[str, Any]], end: str = "\n") -> str:
    return end.join(json.dumps(row, ensure_ascii=False) for row in rows)


def write(path: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    """The rows in a format; in tables a list is written as JSON."""
    names = list(rows[0])
    flat = [[json.dumps(v, ensure_ascii=False) if isinstance(v, (list, dict)) else v for v in row.values()]
            for row in rows]  # fmt: skip
    if kind == "jsonl":
        path.write_bytes(as_lines(rows).encode("utf-8"))
    elif kind == "json":
        path.write_bytes(json.dumps(rows, indent=1).encode("ascii"))
    elif kind == "parquet":
        pl.DataFrame(rows).write_parquet(path, row_group_size=3)
    elif kind == "xlsx":
        write_workbook(path, {"空": [], "数据": [[*names], *flat]})
    else:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([names, *flat])
        path.write_bytes(text.getvalue().encode("utf-8"))
    return path


def write_workbook(path: Path, sheets: dict[str, list[list[Any]]], shared: bool = True) -> Path:
    """A workbook of these sheets: None is a cell that isn't there, all else a string, a number or a truth value."""
    strings: dict[str, int] = {}
    parts = {f"xl/worksheets/sheet{n}.xml": _sheet(rows, strings if shared else None)
             for n, rows in enumerate(sheets.values(), 1)}  # fmt: skip
    names = "".join(f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(sheets, 1))
    parts["xl/workbook.xml"] = f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELS}"><sheets>{names}</sheets></workbook>'
    items = "".join(f"<si>{_text(text)}</si>" for text in strings)
    parts["xl/sharedStrings.xml"] = f'<sst xmlns="{_MAIN}">{items}</sst>'
    links = [(f"rId{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)]
    links.append(("rIdS", "sharedStrings", "sharedStrings.xml"))
    parts["xl/_rels/workbook.xml.rels"] = _relations(links)
    parts["_rels/.rels"] = _relations([("rId1", "officeDocument", "xl/workbook.xml")])
    kinds = {"/xl/workbook.xml": "sheet.main", "/xl/sharedStrings.xml": "sharedStrings"}
    kinds |= {f"/xl/worksheets/sheet{n}.xml": "worksheet" for n in range(1, len(sheets) + 1)}
    base = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    overrides = "".join(
        f'<Override PartName="{part}" ContentType="{base}.{kind}+xml"/>' for part, kind in kinds.items()
    )
    rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    parts["[Content_Types].xml"] = f'<Types xmlns="{_PACKAGE}/content-types">{rels}{overrides}</Types>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{part}')
    return path


def _relations(links: list[tuple[str, str, str]]) -> str:
    items = "".join(f'<Relationship Id="{key}" Type="{_RELS}/{kind}" Target="{to}"/>' for key, kind, to in links)
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{items}</Relationships>'


def _sheet(rows: list[list[Any]], strings: dict[str, int] | None) -> str:
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(_cell(f"{_letters(i)}{number}", value, strings) for i, value in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def _letters(column: int) -> str:
    return chr(ord("A") + column)


def _cell(place: str, value: Any, strings: dict[str, int] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, (int, float)):
        return f'<c r="{place}"><v>{value}</v></c>'
    if strings is None:
        return f'<c r="{place}" t="inlineStr"><is>{_text(value)}</is></c>'
    return f'<c r="{place}" t="s"><v>{strings.setdefault(value, len(strings))}</v></c>'


def _text(text: str) -> str:
    return f'<t xml:space="preserve">{escape(text)}</t>'
