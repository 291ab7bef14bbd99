"""`curate new`: a recipe proposed for a file, checked, and shown at work on its first rows."""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path, PurePosixPath

from curate.pipeline import parse_source
from curate.preview import preview
from curate.propose.draft import Draft
from curate.propose.guess import guess
from curate.propose.look import file_of, look_at
from curate.recipefile import load_recipe
from curate.resources import recipe_names
from curate.sources import open_source
from curate.types import UserError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
#: What the splits are called in file names; the first is how a sibling is looked for first.
_SPLIT_WORDS = {
    "train": ("train", "training", "训练集", "训练"),
    "validation": ("dev", "valid", "validation", "val", "eval", "验证集", "验证"),
    "test": ("test", "testing", "测试集", "测试"),
}


def new_recipe(name: str, source: str, task: str | None = None, out: Path | None = None, force: bool = False) -> str:
    """Write a recipe for the file `source` and return what to tell the user.

    UserError, with nothing written, where the file doesn't show how to read it or the recipe's file is there already.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} must be lower-case letters, digits, . _ -, for it stands in every row's id")
    if name in recipe_names():
        raise UserError(f"{name}: a shipped recipe has this name, choose another")
    place = out or Path(f"{name}.yaml")
    if place.suffix not in (".yaml", ".yml"):
        raise UserError(f"--out {place}: a recipe is a YAML file, call it {place.name}.yaml")
    if place.exists() and not force:
        raise UserError(f"{place}: is there already; --force replaces it, --out FILE.yaml writes another")
    if not place.parent.is_dir():
        raise UserError(f"{place}: there is no folder {place.parent}")
    split, path = parse_source(source)
    if split is not None:
        raise UserError(f"--from {source}: takes a file alone; the split is known by its name")
    if not isinstance(path, Path):
        raise UserError(f"--from {source}: looks at a file; download one of the data set's and give it")
    file_of(path)
    with tempfile.TemporaryDirectory(prefix="jingtiao-") as work:
        opened = open_source([(None, path)], {}, name, Path(work) / "source", binary=True)
        if len(opened.files) != 1:
            raise UserError(f"{path}: holds several files: unpack it, and give the train file")
        inner = opened.files[0].name
        look = look_at(opened)
        chosen, fields = guess(look, inner, task)
        files, told = _splits(path, inner)
        draft = Draft(name, chosen, fields, look, files, [*look.notes, *told])
        text = draft.text()
        written = Path(work) / f"{name}.yaml"
        written.write_text(text, encoding="utf-8")
        shown = preview(load_recipe(written), [source], 5)
    place.write_text(text, encoding="utf-8")
    return _report(draft, place, path, shown)


def _splits(path: Path, name: str) -> tuple[dict[str, str], list[str]]:
    """The file of each split: the given one, and its siblings; with what is to be said of them."""
    given = _split_of(PurePosixPath(name).name)
    if given is None:
        return {"train": name}, []
    split, word = given
    if name != path.name:
        return {"train": name}, []
    files = {split: name}
    for other, words in _SPLIT_WORDS.items():
        names = (_with_word(name, word, one) for one in words) if other != split else ()
        sibling = next((one for one in names if one is not None and (path.parent / one).is_file()), None)
        files |= {} if sibling is None else {other: sibling}
    if "train" not in files:
        beside = f" ({', '.join(files.values())})" if len(files) > 1 else ""
        return {"train": name}, [f"no train file lies beside it{beside}: it is taken as train, change files if not"]
    siblings = [one for one in files.values() if one != name]
    told = [f"beside it: {', '.join(siblings)}"] if siblings else []
    return {split: files[split] for split in _SPLIT_WORDS if split in files}, told


def _split_of(name: str) -> tuple[str, str] | None:
    """The split that a file's name tells, and the word that tells it."""
    for split, words in _SPLIT_WORDS.items():
        for word in sorted(words, key=len, reverse=True):
            if re.search(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", name, re.IGNORECASE):
                return split, word
    return None


def _with_word(name: str, word: str, other: str) -> str | None:
    """The same name with another split's word, in the same script and case."""
    if word.isascii() != other.isascii():
        return None
    found = re.search(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", name, re.IGNORECASE)
    assert found is not None
    like = other.upper() if found[0].isupper() else other.capitalize() if found[0][:1].isupper() else other
    return name[: found.start()] + like + name[found.end() :]


def _report(draft: Draft, place: Path, path: Path, shown: str) -> str:
    look, fields = draft.look, draft.fields
    told = ", ".join(f"{field} = {column.name}" for field, column in fields.items())
    lines = [f"{path.name}: {look.rows + look.unreadable} rows; task {draft.task}; {told}"]
    if "label" in fields:
        words = draft.words()[0]
        named = [f"{label} {words[label]}" if words[label] != label else label for label in draft.labels]
        counts = [f"{one} ({count})" for one, count in zip(named, draft.labels.values(), strict=True)]
        lines.append(f"labels: {', '.join(counts)}")
    if draft.aside():
        lines.append(f"left aside: {', '.join(draft.aside())}")
    lines += [f"note: {note}" for note in draft.notes]
    source = shlex.quote(str(path.parent if len(draft.files) > 1 else path))
    recipe = shlex.quote(str(place))
    return "\n".join([
        *lines, f"wrote {place}", "", shown, "",
        "Read the recipe and mend what was guessed, then:",
        f"  python -m curate validate {recipe}",
        f"  python -m curate recipe {recipe} --source {source}",
        f"  python -m tune plan runs/{draft.name}",
    ])  # fmt: skip
