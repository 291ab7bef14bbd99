"""The data card: measured while the run is written, drawn from card.json and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.types import UserError
from jingtiao.both import said


def prepare() -> None:
    """Compile the templates of a card: as much work as drawing it, but it can be done beforehand."""
    from curate.card import draw, page

    draw.prepare()
    page.prepare()


def draw_card(card: dict[str, Any], features: list[dict[str, Any]], lang: str) -> dict[str, str]:
    """The files that show a card, by their path in the run folder: README.md, card.html and the figures."""
    from curate.card.draw import draw_readme
    from curate.card.figures import FOLDER, figures
    from curate.card.page import draw_page

    found = {"README.md": draw_readme(card, features, lang), "card.html": draw_page(card, lang)}
    for one in figures(card):
        found[f"{FOLDER}/{one.name}.svg"] = one.chart.alone(said(one.title, lang), lang)
    return found


def write_card(run: Path, lang: str | None = None) -> Path:
    """Draw a run's card again from its card.json; returns the page's path. `lang`: zh, en, or the run's own."""
    from curate.formatting.features import run_features

    write_drawn(run, draw_card(read_card(run), run_features(run), lang or language(run)))
    return run / "card.html"


def export_card(run: Path, out: Path, lang: str | None = None) -> Path:
    """Write the card of a run into the folder `out`, with figures only; returns the page's path."""
    from curate.card.draw import without_rows

    card = without_rows(read_card(run))
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder with --out")
    if out.resolve() == run.resolve() or (out / "manifest.json").exists():
        raise UserError(f"{out}: is a run folder, whose card keeps its examples; name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "card.json", json.dumps(card, ensure_ascii=False, indent=1) + "\n")
    write_drawn(out, draw_card(card, [], lang or language(run)))
    return out / "card.html"


def write_drawn(folder: Path, files: dict[str, str]) -> None:
    """Write what `draw_card` made; figures of an older card are gone."""
    from curate.card.figures import FOLDER

    for old in (folder / FOLDER).glob("*.svg"):
        if f"{FOLDER}/{old.name}" not in files:
            old.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        _write(folder / name, text)


def read_card(run: Path) -> dict[str, Any]:
    """The card.json of a run. Raises UserError if the folder is no run or the card can't be read."""
    from curate.run import read_manifest

    read_manifest(run)
    path = run / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(card, dict) or "splits" not in card or "recipe" not in card:
            raise ValueError("no card")
    except (OSError, ValueError):
        raise UserError(f"{path}: no readable card; curate again with --force") from None
    return card


def language(run: Path) -> str:
    """The language the run's card was drawn in."""
    from curate.run import read_local

    return "en" if read_local(run).get("lang") == "en" else "zh"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
