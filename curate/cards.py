"""The data cards of all shipped recipes whose corpus is at hand, in one go: figures only, and a page to compare them.

A recipe's corpus is the folder below the given one that is called as the recipe is, or as the recipe's name begins
(`nlpcc` for `nlpcc-kbqa`); of its files the recipe's own patterns choose. A shipped mixture follows where each of its
parts was found.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curate.card import export_card
from curate.card.index import TITLE, draw_index
from curate.mixture.file import load_mixture
from curate.mixture.mix import mix_runs
from curate.pipeline import curate_recipe
from curate.recipefile import load_recipe
from curate.resources import mixture_names, recipe_names
from curate.types import UserError

#: A corpus whose folder holds two years' files, of which the patterns would leave the older ones aside: by pattern.
_TOGETHER = {"ecdt": ("smp2019*.json", "smp2017*")}


@dataclass
class Cards:
    """The cards that were written, by name, and why others weren't."""

    index: Path
    written: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def write_cards(
    root: Path, out: Path, workers: int = 1, report: Callable[[str], None] = lambda message: None
) -> Cards:
    """Write `out`/RECIPE for each corpus below `root`, and `out`/README.md about all cards that stand in `out` then.

    The runs themselves go to a temporary folder. Cards of corpora that aren't at hand stay as they are. Raises
    UserError for a `root` without any corpus, and for an `out` that is something else.
    """
    _check(root, out)
    cards = Cards(out / "README.md")
    with tempfile.TemporaryDirectory(prefix="jingtiao-cards-") as work:
        runs: dict[str, Path] = {}
        for name in recipe_names():
            sources = sources_of(name, root)
            if not sources:
                cards.left_out[name] = f"no folder {' or '.join(_folders(name))} in {root}"
                continue
            report(f"{name}: curating")
            try:
                given = [str(path) for path in sources]
                runs[name] = curate_recipe(load_recipe(name), given, Path(work) / name, workers=workers).path
            except UserError as error:
                cards.left_out[name] = " ".join(error.messages)
                continue
            _keep(cards, name, runs[name], out)
        for name in mixture_names():
            if missing := [part for part in load_mixture(name).parts if part not in runs]:
                cards.left_out[name] = f"a mixture that lacks {', '.join(missing)}"
                continue
            report(f"{name}: mixing")
            mixture = load_mixture(name)
            parts = {part: told.model_copy(update={"run": str(runs[part])}) for part, told in mixture.parts.items()}
            run = mix_runs(replace(mixture, parts=parts), out=Path(work) / name, workers=workers).path
            _keep(cards, name, run, out)
    if not cards.written:
        raise UserError(*(f"{name}: {why}" for name, why in cards.left_out.items()))
    cards.index.write_text(draw_index(read_cards(out)), encoding="utf-8", newline="\n")
    return cards


def sources_of(recipe: str, root: Path) -> list[Path]:
    """What of the folders below `root` a recipe reads; empty where it has none."""
    folder = next((root / name for name in _folders(recipe) if (root / name).is_dir()), None)
    if folder is None:
        return []
    found = [path for pattern in _TOGETHER.get(recipe, ()) for path in sorted(folder.glob(pattern))]
    return found or [folder]


def read_cards(out: Path) -> dict[str, dict[str, Any]]:
    """The card.json of each card in a folder of cards, by the cards' names."""
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*/card.json"))}


def _folders(recipe: str) -> list[str]:
    return list(dict.fromkeys([recipe, recipe.partition("-")[0]]))


def _keep(cards: Cards, name: str, run: Path, out: Path) -> None:
    export_card(run, out / name)
    cards.written.append(name)


def _check(root: Path, out: Path) -> None:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --source-root names the one that the corpora's folders stand in")
    index = out / "README.md"
    if index.exists() and not index.read_text(encoding="utf-8").startswith(f"{TITLE}\n"):
        raise UserError(f"{index}: is not a page about data cards; name another folder with --out")
