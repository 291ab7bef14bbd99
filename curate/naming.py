"""Names: which split a word means, and the ids under which the rows of a file are printed."""

from __future__ import annotations

from pathlib import PurePosixPath

#: What corpora call the splits: in parts of a JSON object, folders, and on the hub.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "develop", "development", "eval"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}


def placed(file: str, line: int) -> str:
    """`file:line`, or the file alone where no line is known (0), as in a JSON list."""
    return f"{file}:{line}" if line else file


def split_of(word: str) -> str | None:
    """The split that a word is a name of, or None."""
    return _SPLIT_OF.get(word.strip().lower())


def row_prefixes(recipe: str, split: str, names: list[str]) -> list[str]:
    """What the ids of each file's rows begin with; `names` are the relative paths of all files of a split.

    `recipe/split`, and the file's path where there are several: without its extension, and without a first folder
    that says the split once more, so that a row has one id whether the source is that folder or the one around it.
    Where two files would be called alike, they keep what tells them apart.
    """
    if len(names) == 1:
        return [f"{recipe}/{split}"]
    inner = [_without_split(name, split) for name in names]
    ways = ([_without_suffix(name) for name in inner], inner, [_without_suffix(name) for name in names], names)
    shorts = next(way for way in ways if len(set(way)) == len(names))
    return [f"{recipe}/{split}/{short}" for short in shorts]


def _without_split(name: str, split: str) -> str:
    first, _, rest = name.partition("/")
    return rest if rest and split_of(first) == split else name


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
