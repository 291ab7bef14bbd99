"""The words of the command line, and nothing else: each verb imports its work inside, so that `--help` stays cheap.

Here are the verbs that read recipes and corpora; those on finished runs are in `cli_runs`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from curate.cli_runs import Json, card, cards, diff, explain, validate
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


for verb in (validate, card, cards, explain, diff):
    app.command()(verb)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 the input was wrong, 130 interrupted."""
    return commandline.run(app, PROG, argv)
