"""The words of the command line, and nothing else: each verb imports its work inside, so that `--help` stays cheap."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer

from jingtiao import commandline
from jingtiao.commandline import print_json, print_text
from tune.errors import UserError

PROG = "python -m tune"

app = typer.Typer(
    help="From a curated run to a measured model: tune, evaluate against the untuned model, report.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as curate wrote it.")]
TuningFolder = Annotated[Path, typer.Argument(metavar="TUNING", help="A tuning's folder, as 'train' wrote it.")]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="A model folder, a hub name, tiny (default) or tiny-bert.")
]
MethodName = Annotated[str | None, typer.Option(metavar="NAME", help="What is trained; 'methods' lists them.")]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The tuning's folder. Default: tunings/RUN-MODEL-METHOD.")
]
OutOfSeveral = Annotated[Path | None, typer.Option(metavar="DIR", help="Where the tunings' folders stand.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A YAML file of settings.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
]
Seed = Annotated[int | None, typer.Option(help="Decides new weights, the order of samples and dropout.")]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="Plan for so much memory, like 16GB or 8GiB.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an older tuning in the same folder.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's event files as well.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")],
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="[SPLIT=]PATH", help="The corpus, as for curate. Default: the built-in sample."),
    ] = None,
    model: Model = None,
    method: MethodName = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    memory: Memory = None,
    resume: Resume = False,
    force: Force = False,
    tensorboard: TensorBoard = False,
    as_json: Json = False,
) -> None:
    """One shot: curate (or reuse a finished run), tune, evaluate, report."""
    from tune.shot import curated

    _check_choice(resume, force)
    code, run = curated(name, source or [], force=force, stream=_stream(as_json))
    if code:  # what was wrong has been said
        raise typer.Exit(code)
    train(run, model, method, out, config, sets, seed, memory, resume, force, tensorboard, as_json)


@app.command()
def train(
    run: RunFolder,
    model: Model = None,
    method: MethodName = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    memory: Memory = None,
    resume: Resume = False,
    force: Force = False,
    tensorboard: TensorBoard = False,
    as_json: Json = False,
) -> None:
    """Tune a model on a run, evaluate it before and after, and report."""
    from tune.tuning import tune

    _check_choice(resume, force)
    with _Progress() as progress:
        result = tune(
            run,
            {"model": model, "method": method, "seed": seed, "file": config, "sets": sets or []},
            out=out,
            memory=memory,
            resume=resume,
            force=force,
            tensorboard=tensorboard,
            stream=_stream(as_json),
            progress=progress,
        )
    if as_json:
        print_json(result)


def _check_choice(resume: bool, force: bool) -> None:
    if resume and force:
        raise UserError("--resume and --force: choose one; --resume goes on with a tuning, --force begins it anew")


@app.command()
def plan(
    run: RunFolder,
    model: Model = None,
    method: MethodName = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    memory: Memory = None,
    dump: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write id, tokens and labels of every sample as JSON lines.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what training would do — samples, tokens, steps, memory, time — without training."""
    from tune.tuning import plan_only

    asked = {"model": model, "method": method, "seed": seed, "file": config, "sets": sets or []}
    with _Progress() as progress:
        result = plan_only(run, asked, memory=memory, dump=dump, stream=_stream(as_json), progress=progress)
    if as_json:
        print_json(result)


@app.command("eval")
def evaluate(tuning: TuningFolder, as_json: Json = False) -> None:
    """Evaluate a finished tuning again, beside its base model."""
    from tune.tuning import evaluate_again

    with _Progress() as progress:
        result = evaluate_again(tuning, stream=_stream(as_json), progress=progress)
    if as_json:
        print_json(result)


@app.command()
def chat(tuning: TuningFolder) -> None:
    """Talk with a tuned model."""
    from tune.chat import chat as talk

    talk(tuning)


@app.command()
def report(
    tuning: TuningFolder,
    no_rows: Annotated[bool, typer.Option("--no-rows", help="Figures only, no corpus text (with --out).")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that --no-rows writes to.")] = None,
    lang: Annotated[Literal["zh", "en"], typer.Option(help="The language shown first.")] = "zh",
    opens: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Draw a tuning's report, model card and curve again, or export the report without rows."""
    from tune.page import PAGE
    from tune.report import export
    from tune.report import report as write_report

    if no_rows != (out is not None):
        raise UserError("--no-rows and --out go together: --no-rows --out DIR writes the report without rows into DIR")
    if out is not None:
        page = export(tuning, out, lang)
    else:
        for note in write_report(tuning, lang):
            print(f"note: {note}")
        page = tuning / PAGE
        print(f"card:   {tuning / 'README.md'}")
    print(f"report: {page}")
    if opens:
        commandline.open_page(page)


@app.command()
def compare(
    paths: Annotated[
        list[Path], typer.Argument(metavar="TUNING…|RUN", help="Folders of tunings; with --methods, one run.")
    ],
    by: Annotated[
        str | None,
        typer.Option("--methods", metavar="A,B,…", help="Tune RUN by each of these methods, or all, and compare."),
    ] = None,
    model: Model = None,
    out: OutOfSeveral = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    memory: Memory = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Set tunings side by side: settings that differ, and scores; or tune a run by several methods first."""
    given = {"--model": model, "--out": out, "--config": config, "--set": sets, "--seed": seed, "--memory": memory}
    if by is None:
        from tune.compare import check_call
        from tune.compare import compare as compare_tunings

        check_call(
            paths, [option for option, value in {**given, "--force": force or None}.items() if value is not None]
        )
        _print_result(compare_tunings(paths), as_json)
        return
    from tune.compare_methods import compare_methods

    if len(paths) > 1:
        raise UserError(f"--methods: tunes one run, not {len(paths)}; leave it out to compare tunings")
    asked = {"model": model, "seed": seed, "file": config, "sets": sets or []}
    with _Progress() as progress:
        found = compare_methods(
            paths[0], by, asked, out=out, memory=memory, force=force, stream=_stream(as_json), progress=progress
        )
    _print_result(found, as_json)
    if not as_json:
        print_text(f"comparison: {found['path']}")


@app.command()
def sweep(
    run: RunFolder,
    model: Model = None,
    method: MethodName = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="Choose by this metric on validation. Default: its loss.")
    ] = None,
    out: OutOfSeveral = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A YAML file of settings, with a grid under sweep.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=A,B,…", help="A setting, or several values to try.")
    ] = None,
    seed: Seed = None,
    memory: Memory = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Try a grid of settings, stop the worse ones early, and write the best as YAML."""
    from tune.sweep import sweep as sweep_settings

    asked = {"model": model, "method": method, "seed": seed, "file": config, "sets": sets or []}
    with _Progress() as progress:
        found = sweep_settings(
            run,
            asked,
            metric=metric,
            out=out,
            memory=memory,
            force=force,
            stream=_stream(as_json),
            progress=progress,
        )
    _print_result(found, as_json)


@app.command()
def merge(
    tuning: TuningFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The merged model's folder. Default: TUNING/merged.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older merged model.")] = False,
) -> None:
    """Fold an adapter into its base model, and check that both answer alike."""
    from tune.export import merge as merge_adapter

    with _Progress() as progress:
        merged = merge_adapter(tuning, out, force=force, report=progress)
    print_text(merged)


@app.command()
def score(
    run: RunFolder,
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="JSON lines with id and prediction.")],
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option(help="The split predicted. Default: by the ids.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score predictions that were made elsewhere, by the run's own metrics."""
    from tune.runs import open_run
    from tune.score import score_file

    _print_result(score_file(open_run(run), predictions, split), as_json)


@app.command()
def methods(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Costs for this run's rows.")] = None,
    model: Model = None,
    config: ConfigFile = None,
    sets: Sets = None,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """List the methods and when to choose which; with a model or run, what each would cost."""
    from tune.methods_table import methods_table

    with _Progress() as progress:
        found = methods_table(
            {"model": model, "file": config, "sets": sets or []}, run, memory=memory, progress=progress
        )
    _print_result(found, as_json)


class _Progress:
    """What is going on, on stderr: a line that rewrites itself on a terminal, nothing elsewhere.

    An instance is called with a text (`progress("tokenising train")`), and with none where another display begins;
    rich is imported only where there is a terminal.
    """

    def __init__(self) -> None:
        self.status: Any = None

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            from rich.console import Console

            self.status = Console(stderr=True, highlight=False, markup=False).status("starting")
            self.status.start()
        return self

    def __call__(self, text: str) -> None:
        if self.status is None:
            return
        if text:
            self.status.update(text)
            self.status.start()
        else:
            self.status.stop()

    def __exit__(self, *error: object) -> None:
        if self.status is not None:
            self.status.stop()


def _stream(as_json: bool) -> TextIO:
    """Where people read: stdout, or stderr where stdout is for a program."""
    return sys.stderr if as_json else sys.stdout


def _print_result(result: Any, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_text(str(result))


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 the input was wrong, 130 interrupted."""
    # Progress is ours to show. Read when transformers is imported.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    hint = "tuning needs {name}; install it with: pip install 'jingtiao[tune]'"
    return commandline.run(app, PROG, argv, extra=_EXTRA, hint=hint)


#: What the extra `tune` brings.
_EXTRA = {"torch", "transformers", "peft", "numpy", "safetensors", "sklearn", "sacrebleu", "rouge_score", "nltk"}
