"""The words of the command line, and nothing else: each verb imports its work inside, so that `--help` stays cheap."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from curate.progress import Progress
from curate.types import UserError
from jingtiao import commandline
from jingtiao.commandline import print_json, print_text

if TYPE_CHECKING:
    from curate.recipefile import Recipe

PROG = "python -m curate"

app = typer.Typer(
    help="Recipes for Chinese corpora: from the files as published to instruction data, with every row accounted for.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as written by 'recipe'.")]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SPLIT=]PATH", help="A folder, a file or an archive; may be repeated. Default: the built-in sample."
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="FORMAT", help="Beside the JSONL: sharegpt, messages, parquet; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """List the shipped recipes and mixtures."""
    from curate.describe import listed
    from curate.tables import print_table

    found = listed()
    if as_json:
        print_json(found)
    else:
        print_table(["name", "task", "title", "version", "licence"], [list(row.values()) for row in found])


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A shipped recipe's or mixture's name, or a YAML file.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes, for editors.")] = False,
    as_json: Json = False,
) -> None:
    """Show a recipe or a mixture as it is understood, every option with its value."""
    if schema:
        from curate.recipefile import recipe_schema

        print_json(recipe_schema())
        return
    if name is None:
        raise UserError(f"show needs the name of a recipe or a mixture; '{PROG} list' names them")
    from curate.describe import described

    facts = described(name)
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        if isinstance(value, list):
            print(f"{key}:", *(f"  {line}" for line in value), sep="\n")
        else:
            print(f"{key}: {value}")


@app.command()
def recipe(
    name: RecipeName,
    source: Sources = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run folder. Default: runs/RECIPE.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="STEP.OPTION=VALUE", help="Change an option; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first rows of each split.")] = None,
    seed: Annotated[int, typer.Option(help="Decides templates, option order and split.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processor cores to use (all); never changes the result.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory to keep within, like 2GB or 800MB; never changes the result."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older run in the same folder.")] = False,
    as_json: Json = False,
    lang: Annotated[Literal["zh", "en"], typer.Option(help="The language of the data card.")] = "zh",
    formats: Formats = None,
) -> None:
    """Curate a corpus: read, clean, check, format, and write the run folder with its data card."""
    from curate.api import recipe as curate_recipe
    from curate.formatting.exports import known_formats
    from curate.recipefile import load_recipe

    known_formats(formats or [])
    if not source:
        _say_sample(load_recipe(name, overrides or []), name, sys.stderr if as_json else sys.stdout)
    with Progress() as report:
        result = curate_recipe(
            name,
            source or [],
            out=out,
            overrides=overrides or [],
            limit=limit,
            seed=seed,
            workers=workers,
            memory=memory,
            force=force,
            lang=lang,
            formats=formats or [],
            report=report,
        )
    _print_result(result, as_json)


@app.command()
def mix(
    name: Annotated[str, typer.Argument(metavar="MIX", help="A shipped mixture's name, or a YAML file.")],
    samples: Annotated[
        bool, typer.Option("--samples", help="Mix the recipes' built-in samples, curating those that are missing.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run folder. Default: runs/MIX.")] = None,
    seed: Annotated[int, typer.Option(help="Decides which rows are chosen.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processor cores to use (all); never changes the result.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older run in the same folder.")] = False,
    as_json: Json = False,
    lang: Annotated[Literal["zh", "en"], typer.Option(help="The language of the data card.")] = "zh",
    formats: Formats = None,
) -> None:
    """Make one run of several: by weights, temperature or caps, with what they have in common found."""
    from curate.api import mix as mix_runs
    from curate.formatting.exports import known_formats

    known_formats(formats or [])
    stream = sys.stderr if as_json else sys.stdout
    with Progress() as progress:

        def report(text: str) -> None:
            progress(text)
            if text.startswith("curating"):  # what the user did not ask for by name
                print(text, file=stream, flush=True)

        result = mix_runs(
            name,
            samples=samples,
            out=out,
            seed=seed,
            workers=workers,
            force=force,
            lang=lang,
            formats=formats or [],
            report=report,
        )
    _print_result(result, as_json)


def _say_sample(checked: Recipe, name: str, stream: Any) -> None:
    from curate.resources import sample_path

    if sample_path(checked.name) is None:
        raise UserError(f"recipe {checked.name!r} has no built-in sample; give the corpus with --source PATH")
    real = f"{PROG} recipe {name} --source PATH"
    print(f"No --source: curating the small built-in sample. For the real corpus: {real}", file=stream, flush=True)


def _print_result(result: Any, as_json: bool) -> None:
    from curate.tables import funnel, print_table

    card = result.path / "card.html"
    if as_json:
        head = {"path": str(result.path), "card": str(card), "status": result.status}
        figures = {key: result.manifest[key] for key in ("splits", "steps", "outputs")}
        print_json({**head, "fingerprint": result.fingerprint, **figures, "notes": list(result.notes)})
        return
    columns, rows = funnel(result.manifest)
    print_table(columns, rows, numbers=True)
    for note in result.notes:
        print(f"note: {note}")
    print(f"run:  {result.path} ({result.status})")
    print(f"card: {card}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the corpus shall be called: lower case.")],
    source: Annotated[
        str, typer.Option("--from", metavar="FILE", help="A file of rows: CSV, TSV, JSON, JSON Lines, Parquet, xlsx.")
    ],
    task: Annotated[
        Literal["pair", "classification", "mrc", "summarization", "dialogue"] | None,
        typer.Option(help="Where the columns don't tell."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Default: NAME.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
) -> None:
    """Propose a recipe for a file of your own, and show five rows through it."""
    from curate.propose import new_recipe

    print_text(new_recipe(name, source, task, out, force))


@app.command()
def preview(
    name: RecipeName,
    n: Annotated[int, typer.Option("-n", min=1, help="How many rows.")] = 5,
    source: Sources = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option(help="Rows of this split only.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="STEP.OPTION=VALUE", help="Change an option; may be repeated.")
    ] = None,
) -> None:
    """Show rows as read, as cleaned and as samples, without writing anything."""
    from curate.recipefile import load_recipe

    checked = load_recipe(name, overrides or [])
    if not source:
        _say_sample(checked, name, sys.stdout)
    from curate.preview import preview as preview_rows

    print_text(preview_rows(checked, list(source or []), n, split))


@app.command()
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


@app.command()
def card(
    run: RunFolder,
    no_rows: Annotated[bool, typer.Option("--no-rows", help="Figures only, no corpus text (with --out).")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that --no-rows writes to.")] = None,
    lang: Annotated[
        Literal["zh", "en"] | None, typer.Option(help="The language shown first. Default: the run's.")
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
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
        commandline.open_page(page)


@app.command()
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


@app.command()
def explain(
    run: RunFolder,
    row: Annotated[str, typer.Argument(metavar="ID", help="A row's id, like lcqmc/train/000000017.")],
) -> None:
    """Tell one row's whole story: read, changed by, kept or rejected, why, and because of which row."""
    from curate.explain import explain as explain_row

    print_text(explain_row(run, row))


@app.command()
def diff(first: RunFolder, second: RunFolder, as_json: Json = False) -> None:
    """Compare two runs: what was made otherwise, and which rows were lost, added, moved or changed, and why."""
    from curate.diff import diff_runs

    found = diff_runs(first, second)
    if as_json:
        print_json(found)
        return
    from curate.diff.words import print_diff

    print_diff(found)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 the input was wrong, 130 interrupted."""
    return commandline.run(app, PROG, argv)
