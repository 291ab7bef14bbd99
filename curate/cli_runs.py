"""The verbs on finished runs: what they are asked with, and what they print. `cli` lists them beside the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from curate.progress import Progress
from curate.types import UserError
from jingtiao.commandline import open_page, print_json, print_text

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as written by 'recipe'.")]
Lang = Annotated[
    Literal["zh", "en"] | None, typer.Option(help="The language that the page shows first. Default: the run's.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def validate(
    target: Annotated[str, typer.Argument(metavar="FILE|RUN", help="A recipe, a mixture, or a run folder.")],
) -> None:
    """Check a recipe or a mixture, or that a run folder is whole and keeps its promises."""
    if Path(target).is_dir():
        from curate.run import check_run

        wrong = check_run(Path(target))
        if wrong:
            raise UserError(*wrong)
        print(f"{target}: ok")
        return
    from curate.mixture.file import is_mixture, load_mixture
    from curate.recipefile import load_recipe

    if is_mixture(target):
        mixture = load_mixture(target)
        print(f"{target}: ok ({mixture.name} {mixture.fields.version}, a mixture of {len(mixture.parts)} parts)")
        return
    checked = load_recipe(target)
    print(f"{target}: ok ({checked.name} {checked.version}, task {checked.task}, {len(checked.steps)} steps)")


def card(
    run: RunFolder,
    no_rows: Annotated[bool, typer.Option("--no-rows", help="Figures only, no corpus text (with --out).")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that --no-rows writes to.")] = None,
    lang: Lang = None,
    opens: Open = False,
) -> None:
    """Draw a run's data card again, or export it without rows."""
    if no_rows != (out is not None):
        raise UserError("--no-rows and --out go together: --no-rows --out DIR writes the card without rows into DIR")
    if out is not None:
        from curate.card import export_card

        page = export_card(run, out, lang)
    else:
        from curate.card import write_card

        page = write_card(run, lang)
    print(f"card: {page}")
    if opens:
        open_page(page)


def cards(
    source_root: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder in which each corpus has one, called as its recipe is.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the cards.")] = Path("data_cards"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processor cores to use (all); never changes the result.")
    ] = None,
) -> None:
    """Make the cards of all recipes whose corpus is at hand, figures only, and a page that compares them."""
    from curate.api import cores
    from curate.cards import write_cards

    with Progress() as report:
        made = write_cards(source_root, out, workers or cores(), report)
    for name in made.written:
        print(f"card: {out / name / 'README.md'}")
    for name, why in made.left_out.items():
        print(f"note: {name} is left out: {why}")
    print(f"all:  {made.index}")


def explain(
    run: RunFolder,
    row: Annotated[str, typer.Argument(metavar="ID", help="A row's id, like lcqmc/train/000000017.")],
) -> None:
    """Tell one row's whole story: read, changed by, kept or rejected, why, and because of which row."""
    from curate.explain import explain as explain_row

    print_text(explain_row(run, row))


def diff(
    first: RunFolder,
    second: RunFolder,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write it as a page too, with rows side by side.")
    ] = None,
    lang: Lang = None,
    opens: Open = False,
    as_json: Json = False,
) -> None:
    """Compare two runs: what was made otherwise, and which rows were lost, added, moved or changed, and why."""
    if page is None and (opens or lang):
        raise UserError(f"{'--open' if opens else '--lang'} is about the page: add --page FILE.html")
    from curate.diff import diff_runs

    if page is not None:
        from curate.diff.page import check_place

        check_place(page)
    found = diff_runs(first, second)
    if page is not None:
        from curate.card import language
        from curate.diff.page import write_page

        write_page(found, page, lang or language(first))
    if as_json:
        print_json(found)
    else:
        from curate.diff.words import print_diff

        print_diff(found)
        if page is not None:
            print(f"page: {page}")
    if opens and page is not None:
        open_page(page)
