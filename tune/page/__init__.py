"""report.html of a tuning: measured from the folder's own files, drawn in the design of the data card."""

from __future__ import annotations

from pathlib import Path

from tune.model_card import Facts

PAGE = "report.html"


def draw_report(facts: Facts, lang: str = "zh", rows: bool = True) -> str:
    """The page, with the language `lang` (zh or en) shown first; without `rows` it has no text of the corpus."""
    from tune.page.draw import draw
    from tune.page.measure import measure

    return draw(measure(facts, rows=rows), lang)


def card_link(folder: Path, run: Path | None) -> str | None:
    """The way from a tuning's folder to the data card of its run, where that is at hand."""
    import os
    from urllib.parse import quote

    card = run / "card.html" if run else None
    if card is None or not card.is_file():
        return None
    return quote(Path(os.path.relpath(card.resolve(), folder.resolve())).as_posix())
