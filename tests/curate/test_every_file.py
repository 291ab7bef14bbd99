"""Every file of the real corpora is read by some recipe, with as many rows as the corpora's README counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import curate

from curate.local import read_file
from curate.pipeline import open_recipe_source
from curate.recipefile import load_recipe
from curate.sources import Source

#: The recipes of a folder, and what of it is their source.
RECIPES = {
    "bq": [("bq", "bq")],
    "chnsenticorp": [("chnsenticorp", "chnsenticorp")],
    "cmrc2018": [("cmrc2018", "cmrc2018")],
    "drcd": [("drcd", "drcd")],
    "ecdt": [("ecdt", "ecdt"), ("ecdt", "ecdt/smp2017_task1")],
    "fudan": [("fudan", "fudan")],
    "lccc": [("lccc", "lccc")],
    "lcqmc": [("lcqmc", "lcqmc")],
    "lcsts": [("lcsts", "lcsts")],
    "nlpcc": [(name, "nlpcc") for name in ("nlpcc-summary", "nlpcc-headline", "nlpcc-kbqa", "nlpcc-stance")],
}


def read(recipe: str, path: Path, work: Path) -> tuple[Source, dict[Path, int]]:
    """The source, and how many rows each of its files has, unreadable ones included; partners count as theirs."""
    loaded = load_recipe(recipe)
    source = open_recipe_source(loaded, [str(path)], work)
    rows: dict[Path, int] = {}
    for file in source.files:
        blocks = list(read_file(loaded, file, source.infos[file.path], None, 65_536)[1])
        n = sum(block.rows for block in blocks)
        assert n == sum(len(block.frame) + len(block.rejects) for block in blocks)
        for side in filter(None, (file.path, file.partner)):
            rows[side] = rows.get(side, 0) + n
    return source, rows


def counted(folder: str, corpora: Path) -> dict[str, int]:
    """The corpora's README: rows of each file or folder named there, under its path."""
    found = {}
    for line in (corpora / "README.md").read_text(encoding="utf-8").split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if len(cells) < 8 or not (named := re.fullmatch(rf"`({folder}/.*)`", cells[1])):
            continue
        numbers = re.findall(r"([\d,]+) questions", cells[7]) or re.findall(r"with ([\d,]+)", cells[7])
        first = re.match(r"[\d,]+", cells[7])
        numbers = numbers or ([first[0]] if first else [])
        found[named[1]] = sum(int(number.replace(",", "")) for number in numbers)
    return found


def test_the_table_has_every_folder(corpora: Path) -> None:
    assert sorted(path.name for path in corpora.iterdir() if path.is_dir()) == sorted(RECIPES)


@pytest.mark.parametrize("folder", list(RECIPES))
def test_every_file_is_read(folder: str, corpora: Path, tmp_path: Path) -> None:
    """By the folder's recipes; what their patterns leave aside is said, and read where it is named itself."""
    files = {path for path in (corpora / folder).rglob("*") if path.is_file()}
    rows: dict[Path, int] = {}
    for number, (recipe, where) in enumerate(RECIPES[folder]):
        source, found = read(recipe, corpora / where, tmp_path / str(number))
        aside = {corpora / where / name for name in source.ignored}
        assert set(found).isdisjoint(aside)
        assert set(found) | aside == {path for path in files if path.is_relative_to(corpora / where)}
        rows |= found
    for number, path in enumerate(sorted(files - set(rows))):
        _, found = read(RECIPES[folder][0][0], path, tmp_path / f"one-{number}")
        rows |= found
    assert set(rows) == files
    told = counted(folder, corpora)
    assert told
    for name, expected in told.items():
        inside = {path for path in files if path == corpora / name or path.is_relative_to(corpora / name)}
        assert inside and sum(rows[path] for path in inside) == expected, name


def test_what_is_left_aside_is_printed_and_listed(corpora: Path, tmp_path: Path) -> None:
    """ECDT's two years in one folder: SMP2019's train file wins, and the other year's train files are named."""
    result = curate("ecdt", tmp_path / "run", corpora / "ecdt", overrides=["segment.as=off"])
    train = sorted((corpora / "ecdt" / "smp2017_task1" / "train").iterdir())
    names = [path.relative_to(corpora / "ecdt").as_posix() for path in train]
    assert result.manifest["ignored_files"] == names
    assert result.notes == [f"left aside: {', '.join(names[:20])} and 11 more (manifest.json names all)"]
