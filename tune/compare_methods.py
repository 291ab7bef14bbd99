"""`tune compare RUN --methods …`: one run, one budget, one seed, several methods; a tuning of each, and one table.

The tunings stand in one folder, each a tuning like any other. What no method decides is made once: the base model is
read, the run tokenised and the untuned model evaluated for all of them. The same command goes on where it was cut off:
a finished method is kept, an unfinished one resumed. A method that fails while it runs (it diverges, or doesn't fit
the memory) says so in its row and stops no other.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from jingtiao.memory import parse_memory
from tune.checkpoint import newest
from tune.compare import compare
from tune.compare_page import MethodComparison, write_page
from tune.config import Config, default_out, own_lr, resolve
from tune.errors import UserError
from tune.folder import CHECKPOINTS, begin, check_kind, read_local
from tune.lender import Lender
from tune.lock import LOCK, check_hashes, read_lock
from tune.methods import METHODS
from tune.model import check_method, settle
from tune.paired import main_metric
from tune.results import METRICS, read_eval, read_evaluation, read_lines, write_json
from tune.runs import Run, open_run
from tune.settings import did_you_mean
from tune.tuning import CACHE, tune
from tune.work import Notes, Report, Shared, evaluated_bare, evaluated_splits, failure, load_base

ALL = "all"
COMPARISON = "compare.json"
#: What may differ between a tuning and its like: none of it moves a figure by more than rounding.
INDIFFERENT = {"pack", "checkpointing", "compile", "save_every", "keep"}


def compare_methods(
    path: Path,
    names: str,
    asked: dict[str, Any],
    *,
    out: Path | None = None,
    memory: str | None = None,
    force: bool = False,
    stream: TextIO,
    progress: Report = lambda text: None,
) -> MethodComparison:
    """Tune on the run at `path` by each of the methods (`lora,full`, or `all`), and compare what came of them.

    `asked`, `stream` and `progress` as for `tune.tuning.tune`. Writes compare.json, README.md and compare.svg beside
    the tunings' folders. Raises UserError for wrong input, and before anything is loaded for a named method that can't
    work with the model.
    """
    notes, run = Notes(stream), open_run(path)
    if memory is not None:
        parse_memory(memory)
    settled = list[str]()
    configs, left_out = _choose(run, names, asked, settled)
    first = next(iter(configs.values()))
    if first.eval == "none" or not (splits := evaluated_splits(run, first, settled)):
        raise UserError(f"{path}: a comparison is of evaluations, and nothing would be evaluated (eval={first.eval})")
    out = out or default_out(run, first, "compare")
    begun = _begun(out, run, configs, force)
    notes += settled
    todo = [name for name in configs if name not in begun or not read_local(out / name).get("finished")]
    shared = None
    if todo:
        shared = _shared(out, run, first, begun, splits, notes, progress)
        if force or not out.exists():
            begin(out)
        write_json(out / COMPARISON, {"finished": False, "run": run.name, "methods": list(configs)})
    failed = {}
    for number, (name, config) in enumerate(configs.items(), 1):
        place = f"[{number}/{len(configs)}] {name}"
        if name not in todo:
            print(f"{place}: up to date", file=stream, flush=True)
            continue
        print(f"{place}: {METHODS[name].summary}, lr {config.lr:g}", file=stream, flush=True)
        started = time.perf_counter()
        if why := _tune(path, name, asked, out / name, memory, shared, progress):
            failed[name] = why
        said = f"failed: {why}" if why else f"done in {time.perf_counter() - started:.0f} s"
        print(f"{place}: {said}", file=stream, flush=True)
    progress("comparing")
    found = _gather(out, run, configs, failed, left_out, notes)
    write_json(out / COMPARISON, found)
    write_page(found, _curves(out, configs), out)
    return found


# ---- what is compared


def _choose(run: Run, names: str, asked: dict[str, Any], notes: list[str]) -> tuple[dict[str, Config], dict[str, str]]:
    """The settings of each method; of `all` methods those that can work here, and why the others can't."""
    chosen = list(METHODS) if names == ALL else list(dict.fromkeys(name.strip() for name in names.split(",")))
    if unknown := [name for name in chosen if name not in METHODS]:
        known = f"; known are {', '.join(METHODS)}, and {ALL} of them"
        raise UserError(*(f"--methods: no method {name!r}{did_you_mean(name, METHODS) or known}" for name in unknown))
    if len(chosen) < 2:
        raise UserError(f"--methods {names}: a comparison is of two methods or more, like lora,full, or {ALL}")
    configs, wrong, said = dict[str, Config](), dict[str, str](), dict[str, list[str]]()
    for name in chosen:
        try:
            config = resolve(run, notes=said.setdefault(name, []), **{**asked, "method": name})
            config = settle(config, run, [])
            check_method(config, run)
            configs[name] = config
        except UserError as error:
            if not error.messages[0].startswith(f"method {name}:"):  # wrong for any method
                raise
            wrong[name] = error.messages[0]
    if wrong and (names != ALL or len(configs) < 2):
        raise UserError(*wrong.values())
    notes += [f"left out: {why}" for why in wrong.values()]
    if all(said.values()):  # a setting that none of them reads
        notes += said[chosen[0]]
    own = {name: own_lr(METHODS[name], config.model) for name, config in configs.items()}
    if any(config.lr != own[name] for name, config in configs.items()):
        notes.append(f"every method learns at the lr that was given, {next(iter(configs.values())).lr:g}, not its own")
    return configs, wrong


def _begun(out: Path, run: Run, configs: dict[str, Config], force: bool) -> list[str]:
    """The methods of which the folder holds a tuning, finished or not; none with `force`.

    Raises UserError where the folder is something else, or a tuning in it was made otherwise.
    """
    check_kind(out, COMPARISON, "comparison")
    begun = [name for name in configs if not force and (out / name / LOCK).is_file()]
    for name in begun:
        lock = read_lock(out / name)
        was, now = (one.model_dump(mode="json", exclude=INDIFFERENT) for one in (lock.config, configs[name]))
        changed = [f"{key} is {was[key]!r} there, not {now[key]!r}" for key in now if was[key] != now[key]]
        changed += ["the run is another"] if lock.hashes.get("run") != run.fingerprint else []
        if changed:
            raise UserError(
                f"{out / name}: was made otherwise: {', '.join(changed)}; --force begins the comparison anew, "
                "another --out keeps both"
            )
    return begun


# ---- tuning


def _shared(
    out: Path, run: Run, config: Config, begun: list[str], splits: list[str], notes: list[str], progress: Report
) -> Shared:
    """What is made once: tokens, the base model, and its evaluation, which a tuning that is there may hold already."""
    shared = Shared(out.parent / CACHE, Lender())
    base = load_base(run, config, shared.cache, notes, progress, shared.load)
    for name in begun:
        check_hashes(out / name, read_lock(out / name).hashes, base.hashes)
    if config.eval == "both":
        known = (read_evaluation(out / name, "base") for name in begun)
        shared.base = next((evaluation for evaluation in known if evaluation), None)
        if shared.base is None:
            progress("evaluating the untuned model")
            shared.base = evaluated_bare(base, config, splits, progress)
    return shared


def _tune(
    path: Path,
    name: str,
    asked: dict[str, Any],
    folder: Path,
    memory: str | None,
    shared: Shared | None,
    progress: Report,
) -> str | None:
    """Tune by one method, from where it was cut off if it was; returns why it failed, or None."""
    if folder.exists() and not (folder / LOCK).is_file():  # cut off before it began
        shutil.rmtree(folder)
    going_on = newest(folder / CHECKPOINTS) is not None
    how: dict[str, Any] = {"out": folder, "memory": memory, "resume": going_on, "shared": shared, "progress": progress}
    return failure(name, lambda: tune(path, {**asked, "method": name}, stream=io.StringIO(), **how))


# ---- what came of it


def _gather(
    out: Path,
    run: Run,
    configs: dict[str, Config],
    failed: dict[str, str],
    left_out: dict[str, str],
    notes: Sequence[str],
) -> MethodComparison:
    """Everything that table, page and picture show. Raises UserError where every method failed."""
    finished = [name for name in configs if name not in failed]
    if not finished:
        raise UserError(*(f"{name}: {why}" for name, why in failed.items()))
    config = configs[finished[0]]
    evaluations = {name: read_eval(out / name) for name in finished}
    sections = evaluations[finished[0]]["tuned"]
    # Of one tuning beside itself there are figures too, and differences of 0.
    folders = [out / name for name in finished]
    compared = compare(folders if len(folders) > 1 else folders * 2)
    splits = {}
    for section, found in compared["splits"].items():
        base = evaluations[finished[0]].get("base", {}).get(section, {})
        splits[section] = {
            "n": found["n"],
            "metrics": {
                metric: {"base": base.get(metric), **dict(zip(finished, figures, strict=False))}
                for metric, figures in found["metrics"].items()
            },
            "differences": {
                metric: dict(zip(finished[1:], figures[1:], strict=False))
                for metric, figures in found["differences"].items()
            },
            "main": main_metric(run, section, sections[section]),
        }
    return MethodComparison(
        finished=not failed,
        run=run.name,
        model=config.model,
        seed=config.seed,
        batch=config.batch,
        path=str(out),
        first=finished[0],
        methods={
            name: _facts(out / name, configs[name]) if name in finished else {"failed": failed[name]}
            for name in configs
        },
        left_out=left_out,
        splits=splits,
        notes=list(dict.fromkeys([*notes, *compared["notes"]])),
    )


def _facts(folder: Path, config: Config) -> dict[str, Any]:
    """What a finished tuning's files say of its size and cost; bytes and seconds."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    training = read_local(folder).get("training") or {}
    return {
        "lr": config.lr,
        "trainable": plan["parameters"]["trainable"],
        "total": plan["parameters"]["total"],
        "steps": training.get("steps", plan["steps"]),
        "tokens": training.get("tokens"),
        "seconds": training.get("seconds"),
        "tokens_per_second": training.get("tokens_per_second"),
        # torch, which tells the peak on a GPU, doesn't see the context.
        "planned_memory": plan["memory"]["peak" if plan["device"] == "CPU" else "allocated"],
        "peak_memory": training.get("peak_memory") or None,
        "best_step": training.get("best_step"),
        "validation_loss": training.get("best_loss"),
    }


def _curves(out: Path, configs: dict[str, Config]) -> dict[str, list[dict[str, Any]]]:
    """The lines of metrics.jsonl of each method that has any."""
    files = {name: out / name / METRICS for name in configs}
    return {name: read_lines(file) for name, file in files.items() if file.is_file()}
