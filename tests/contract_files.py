"""The files of a run as `contract.py` reads them, and its checks of the two files that other programs read.

dataset_info.json is for LLaMA-Factory, the front matter of README.md for `datasets`. Standard library only: the YAML
of a card is simple enough for the small reader at the end, which refuses what it doesn't know.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")
COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system"}
ABSOLUTE = re.compile(r"(/|~/|file://|\\\\|[A-Za-z]:[\\/])")

Row = dict[str, Any]


# ---- reading


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a key stands twice: {', '.join(names)}")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)


def read_json(path: Path, found: list[str]) -> Any:
    """The value in a JSON file, or None with the reason added to `found`."""
    if not path.is_file():
        return None
    try:
        return _parse(path.read_bytes().decode("utf-8"))
    except ValueError as error:
        found.append(f"{path.name}: not UTF-8 JSON: {error}")
        return None


def read_lines(path: Path, found: list[str]) -> list[Row]:
    """The objects of a JSONL file; broken lines are reported and left out."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        found.append(f"{path.name}: the last line has no line end")
    rows: list[Row] = []
    parts = data.split(b"\n")
    for number, line in enumerate(parts if parts[-1] else parts[:-1], 1):
        try:
            row = _parse(line.decode("utf-8"))
        except ValueError as error:
            found.append(f"{path.name}:{number}: not UTF-8 JSON: {error}")
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            found.append(f"{path.name}:{number}: not an object")
    return rows


# ---- dataset_info.json and README.md


def check_dataset_info(run: Path, rows: dict[str, list[Row]]) -> list[str]:
    """Entries name files of the folder and columns that these have, history and system among them."""
    found: list[str] = []
    info = read_json(run / "dataset_info.json", found) or {}
    named = [entry["file_name"] for entry in info.values()]
    found += [f"dataset_info.json: no entry for {s}.jsonl" for s in SPLITS if rows[s] and f"{s}.jsonl" not in named]
    for name, entry in info.items():
        file = entry["file_name"]
        if ABSOLUTE.match(file) or not (run / file).is_file():
            found.append(f"dataset_info.json: {name}: no file {file} in the folder")
            continue
        if Path(file).suffix != ".jsonl" or not (first := read_lines(run / file, [])):
            continue
        columns = entry.get("columns", {})
        for role, column in columns.items():
            if column not in first[0]:
                found.append(f"dataset_info.json: {name}: {role}: {file} has no column {column!r}")
        if entry.get("formatting", "alpaca") == "alpaca":
            # LLaMA-Factory knows instruction, input and output by itself, but not history and system.
            wanted = {role: column for role, column in COLUMNS.items() if column in first[0]}
            if columns != wanted:
                found.append(f"dataset_info.json: {name}: columns must be {wanted}")
    return found


def check_readme(run: Path, rows: dict[str, list[Row]]) -> list[str]:
    """The front matter parses; `configs` names every split file; the features are those of every row."""
    if not (run / "README.md").is_file():
        return []
    try:
        front = front_matter((run / "README.md").read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"README.md: front matter: {error}"]
    found = []
    try:
        files = {part["split"]: part["path"] for config in front["configs"] for part in config["data_files"]}
        features = front["dataset_info"]["features"]
        if any(not isinstance(config["config_name"], str) for config in front["configs"]):
            found.append("README.md: configs: config_name must be a word")
    except (KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        return [f"README.md: front matter: configs and dataset_info.features must be there: {what}"]
    wanted = {split: f"{split}.jsonl" for split in SPLITS if rows[split]}
    if files != wanted:
        found.append(f"README.md: configs name {files}, the folder has {wanted}")
    fitting = set()
    for split in SPLITS:
        for number, row in enumerate(rows[split], 1):
            form = _form(row)
            if form in fitting:
                continue
            if wrong := _misfit(row, {"struct": features}, ""):
                return [*found, f"README.md: dataset_info.features: {wrong} ({split}.jsonl:{number})"]
            fitting.add(form)
    return found


def _form(value: Any) -> Any:
    """A value without its texts and numbers: of two of one form, both fit some features or neither does."""
    if isinstance(value, dict):
        return tuple([(key, _form(part)) for key, part in value.items()])
    if isinstance(value, list):
        return frozenset(map(_form, value))
    return type(value)


def _misfit(value: Any, feature: Any, where: str) -> str:
    """Where a value isn't what the features say, or ''."""
    if isinstance(feature, str):
        feature = {"dtype": feature}
    elif isinstance(feature, list):
        feature = {"struct": feature}
    if isinstance(value, dict):
        named = {part["name"]: part for part in feature.get("struct", ())}
        if list(named) != list(value):
            return f"{where or 'the row'} has {', '.join(value)}, the features say {', '.join(named) or feature}"
        lines = (_misfit(part, named[key], f"{where}.{key}" if where else key) for key, part in value.items())
        return next(filter(None, lines), "")
    if isinstance(value, list):
        if "list" not in feature:
            return f"{where} is a list, the features say {feature}"
        return next(filter(None, (_misfit(part, feature["list"], f"{where}[]") for part in value)), "")
    dtype = {"str": "string", "bool": "bool", "int": "int64", "float": "float64"}.get(type(value).__name__)
    return "" if feature.get("dtype") == dtype else f"{where} is {dtype}, the features say {feature}"


def front_matter(text: str) -> Any:
    """The YAML between the two `---` lines, as far as cards need YAML: mappings and lists of one-line scalars."""
    lines = text.split("\n")
    if lines[0] != "---" or "---" not in lines[1:]:
        raise ValueError("the file must begin with ---, YAML, ---")
    body = []
    for number, line in enumerate(lines[1 : lines.index("---", 1)], 2):
        content = line.lstrip(" ")
        if content and not content.startswith("#"):
            if "\t" in line[: len(line) - len(content) + 1]:
                raise ValueError(f"line {number}: a tab for indentation")
            body.append((number, len(line) - len(content), content.rstrip()))
    value, rest = _block(body, 0)
    if rest != len(body):
        raise ValueError(f"line {body[rest][0]}: unexpected indentation")
    return value


def _block(lines: list[tuple[int, int, str]], at: int) -> tuple[Any, int]:
    """The mapping or list that begins at line `at`, and the line after it."""
    if at >= len(lines):
        return None, at
    indent = lines[at][1]
    is_list = lines[at][2].startswith("- ") or lines[at][2] == "-"
    items: list[Any] = []
    pairs: list[tuple[str, Any]] = []
    while at < len(lines) and lines[at][1] == indent:
        number, _, content = lines[at]
        if is_list:
            if not (content.startswith("- ") or content == "-"):
                break
            inner = content[1:].lstrip(" ")
            if re.match(r"[\w-]+:( |$)", inner):
                # "- key: value" opens a mapping whose indentation is that of the key.
                lines[at] = (number, indent + len(content) - len(inner), inner)
                value, at = _block(lines, at)
            else:
                value, at = _scalar(inner, number), at + 1
            items.append(value)
            continue
        match = re.match(r"(\"[^\"]*\"|'[^']*'|[\w-]+):(?: +(.*))?$", content)
        if not match:
            raise ValueError(f"line {number}: no `key: value` in {content!r}")
        value, at = _value(match[2], lines, at, indent)
        pairs.append((match[1].strip("\"'"), value))
    return (items if is_list else _unique(pairs)), at


def _value(text: str | None, lines: list[tuple[int, int, str]], at: int, indent: int) -> tuple[Any, int]:
    if text:
        return _scalar(text, lines[at][0]), at + 1
    deeper = at + 1 < len(lines) and lines[at + 1][1] > indent
    # A list may stand at the same indentation as its key.
    same = at + 1 < len(lines) and lines[at + 1][1] == indent and lines[at + 1][2].startswith("-")
    return _block(lines, at + 1) if deeper or same else (None, at + 1)


def _scalar(text: str, number: int) -> Any:
    if text[:1] in ('"', "[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            if text[0] != "[":
                raise ValueError(f"line {number}: {text!r} is not understood") from None
            return [_scalar(part.strip(), number) for part in text[1:].rstrip("]").split(",")]
    if text[:1] == "'":
        if len(text) < 2 or text[-1] != "'":
            raise ValueError(f"line {number}: {text!r} has no closing quote")
        return text[1:-1].replace("''", "'")
    if ": " in text or text.endswith(":") or text[:1] in ("&", "*", "!", "%", "@", "`", "|", ">", "]", "}"):
        raise ValueError(f"line {number}: {text!r} must stand in quotes")
    words: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None}
    if text in words:
        return words[text]
    return int(text) if re.fullmatch(r"-?\d+", text) else text
