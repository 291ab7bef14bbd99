"""The order of a tuning, from a run folder to a measured model.

`tune` is the whole of it, to be read from top to bottom: settle what is to be done, load, tokenise and plan; evaluate
the untuned model; train; evaluate the tuned one; report. Nothing is written before the plan stands, and `local.json`
says when all is there that a report needs, so that a tuning cut off anywhere goes on with `resume`.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jingtiao.memory import parse_memory
from tune.config import continued, default_out, resolve
from tune.errors import UserError
from tune.export import LABELS
from tune.folder import begin, check_place, open_tuning, write_local
from tune.lock import check_hashes, read_lock, write_lock
from tune.results import write_json
from tune.runs import open_run
from tune.work import Notes, Report, Shared, Work, compiled, evaluated, evaluated_splits, prepare, show_plan, untuned

if TYPE_CHECKING:
    from tune.loop import Result

#: The folder of tokenised splits, beside the tunings that share it.
CACHE = ".tokens"


def tune(
    path: Path,
    asked: dict[str, Any],
    *,
    out: Path | None = None,
    memory: str | None = None,
    resume: bool = False,
    force: bool = False,
    tensorboard: bool = False,
    shared: Shared | None = None,
    stream: TextIO,
    progress: Report = lambda text: None,
) -> dict[str, Any]:
    """Tune on the run at `path` and return what came of it: path, plan, training, eval, notes.

    `asked` holds the settings as `config.resolve` takes them. `stream` gets lines for people, `progress` what is going
    on at the moment ("" when another display begins). `shared`: what tunings beside this one made already.
    Raises UserError for anything that is wrong with the input.
    """
    from tune.export import serving
    from tune.loop import FREE
    from tune.model import load
    from tune.report import print_summary, report
    from tune.results import read_eval, read_evaluation, write_evaluation

    started = time.perf_counter()
    notes, settled = Notes(stream), list[str]()
    run = open_run(path)
    config = resolve(run, notes=settled, **asked)
    limit = parse_memory(memory) if memory is not None else None
    if tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard: TensorBoard isn't installed; pip install tensorboard, or leave it out")
    out = out or default_out(run, config)
    check_place(out, resume=resume, force=force)
    lock = read_lock(out) if resume else None
    if lock is not None:
        config = continued(config, lock.config, out, FREE, **asked)
    notes += settled

    shared = shared or Shared(out.parent / CACHE, load)
    work = prepare(run, config, shared.cache, limit, notes, progress, load=shared.load)
    config = work.config
    show_plan(work, stream)
    if lock is not None:
        check_hashes(out, lock.hashes, work.hashes)
    splits = evaluated_splits(run, config, notes)
    if lock is None:
        begin(out)
    write_lock(config, out, work.hashes)
    write_local(out, run, finished=False)
    work.plan.write(out)

    if config.eval == "both" and splits and not (resume and read_evaluation(out, "base")):
        progress("evaluating the untuned model")
        notes += write_evaluation(out, base=shared.base or untuned(work, splits, progress))

    training = _trained(work, out, splits, resume, tensorboard, progress)

    if config.eval != "none" and splits:
        progress("evaluating the tuned model")
        notes += write_evaluation(out, tuned=evaluated(work, splits, progress))
    facts = {"training": asdict(training) if training else None, "seconds": round(time.perf_counter() - started, 1)}
    write_local(out, run, finished=True, **facts)
    progress("reporting")
    notes += report(out)
    progress("")
    if config.eval != "none" and splits:
        print_summary(out, file=stream)
    print(f"tuning: {out}", "serve it with", *serving(out, config, work.tokenizer), sep="\n  ", file=stream)
    found = read_eval(out) if config.eval != "none" and splits else {}
    return {"path": str(out), "plan": asdict(work.plan), **facts, "eval": found, "notes": list(notes)}


def _trained(
    work: Work, out: Path, splits: list[str], resume: bool, tensorboard: bool, progress: Report
) -> Result | None:
    """Train the model and save it; where that was done before it was cut off, load it (and return None)."""
    from tune.evaluate import write_samples
    from tune.export import load_tuned
    from tune.loop import train
    from tune.methods import METHODS
    from tune.objectives import loss_of
    from tune.progress import Progress

    method, valid = METHODS[work.config.method], work.tokens.get("validation")
    if (out / method.folder).exists():
        work.model = None  # the memory of the one before the other is loaded
        work.model = load_tuned(out).model
        return None
    board = out / "tensorboard" if tensorboard else None
    progress("")
    with Progress(board=board) as bar, compiled(work.model, work.plan):

        def report(event: dict[str, Any]) -> None:
            bar(event)
            if event["kind"] == "checkpoint" and splits:
                write_samples(work.model, work.prompter, work.run, work.config, out, event["step"], splits[0])

        train_tokens = work.tokens["train"]
        how: dict[str, Any] = {"loss_fn": loss_of(work.config, train_tokens), "resume": resume, "report": report}
        result = train(work.model, train_tokens, valid, work.config, out, work.plan, **how)
    progress("saving")
    labels = work.run.labels if work.config.has_head else None
    save(work.model, work.tokenizer, method, out / method.folder, labels)
    return result


def save(model: Any, tokenizer: Any, method: Any, folder: Path, labels: dict[str, str] | None = None) -> None:
    """The adapter or model, tokenizer and chat template beside it, with a head its `labels` too: whole, or not there
    at all."""
    import shutil

    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    method.save(model, aside)
    tokenizer.save_pretrained(aside)
    if labels is not None:
        write_json(aside / LABELS, labels)
    aside.rename(folder)


def plan_only(
    path: Path,
    asked: dict[str, Any],
    *,
    memory: str | None = None,
    dump: Path | None = None,
    stream: TextIO,
    progress: Report = lambda text: None,
) -> dict[str, Any]:
    """`tune plan`: all that `tune` does before it trains; with `dump`, every sample's tokens and labels as well."""
    from tune.data import dump as write_tokens

    notes, settled = Notes(stream), list[str]()
    run = open_run(path)
    config = resolve(run, notes=settled, **asked)
    limit = parse_memory(memory) if memory is not None else None
    notes += settled
    cache = default_out(run, config).parent / CACHE
    work = prepare(run, config, cache, limit, notes, progress)
    if dump is not None:
        progress(f"writing {dump}")
        write_tokens(run, list(run.splits), work.prompter, config, cache, dump)
    progress("")
    show_plan(work, stream)
    return {"plan": asdict(work.plan), "notes": list(notes)}


def evaluate_again(tuning: Path, *, stream: TextIO, progress: Report = lambda text: None) -> dict[str, Any]:
    """`tune eval`: evaluate a finished tuning once more, its base model first, and report."""
    from tune.export import load_tuned
    from tune.report import print_summary, report
    from tune.results import read_eval, write_evaluation

    notes = Notes(stream)
    found = open_tuning(tuning)
    config = found.config.model_copy(update={"eval": "both"})
    splits = evaluated_splits(found.run, config, notes)
    if not splits:
        raise UserError(f"{found.run.path}: the run has no validation or test rows with answers to evaluate")
    work = prepare(found.run, config, tuning.parent / CACHE, None, notes, progress, timing=False)
    check_hashes(tuning, found.hashes, work.hashes)
    base = untuned(work, splits, progress)
    work.model = None
    work.model = load_tuned(tuning).model
    notes += write_evaluation(tuning, base=base, tuned=evaluated(work, splits, progress))
    notes += report(tuning)
    progress("")
    print_summary(tuning, file=stream)
    return {"path": str(tuning), "eval": read_eval(tuning), "notes": list(notes)}
