"""The data card: measured while the run is written, drawn from card.json and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.types import UserError


def write_card(run: Path, lang: str | None = None) -> Path:
    """Draw README.md of a run again from its card.json; returns its path. `lang`: zh, en, or the run's own."""
    from curate.card.draw import draw_readme
    from curate.formatting.features import run_features

    card = read_card(run)
    lang = lang or _language(run)
    path = run / "README.md"
    _write(path, draw_readme(card, run_features(run), lang))
    return path


def export_card(run: Path, out: Path, lang: str | None = None) -> Path:
    """Write card.json and README.md of a run into the folder `out`, with figures only; returns the README's path."""
    from curate.card.draw import draw_readme, without_rows

    card = without_rows(read_card(run))
    lang = lang or _language(run)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder with --out")
    if out.resolve() == run.resolve() or (out / "manifest.json").exists():
        raise UserError(f"{out}: is a run folder, whose card keeps its examples; name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "card.json", json.dumps(card, ensure_ascii=False, indent=1) + "\n")
    _write(out / "README.md", draw_readme(card, [], lang))
    return out / "README.md"


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


def _language(run: Path) -> str:
    """The language the run's card was drawn in."""
    from curate.run import read_local

    return "en" if read_local(run).get("lang") == "en" else "zh"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
