"""`tune sweep`: the best of a small grid of settings, by successive halving.

All trials train for a short while; the better half goes on to twice as many steps, and so on, until the last has
trained to its end (Jamieson and Talwalkar 2016, arXiv:1502.07943; in Hyperband's terms, arXiv:1603.06560, one bracket
with eta 2). A trial that goes on does so from its checkpoint, on the schedule of the whole training, so that the
winner is the tuning that `tune train` makes of its settings. Trials are told apart on the validation split alone: by
its loss (the lowest so far, for those are the weights that are kept), or by a metric of those weights.

The base model is read once, the run tokenised once. sweep.json holds each result as soon as it is there, so that the
same command goes on where it was cut off. A trial that fails loses, and says why.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from jingtiao.memory import parse_memory
from tune.checkpoint import newest
from tune.config import Config, default_out, resolve
from tune.errors import UserError
from tune.folder import CHECKPOINTS, begin, check_kind, write_local
from tune.grid import SECTION, Grid, read_grid
from tune.lender import Lender
from tune.lock import read_lock, write_lock
from tune.loop import train
from tune.methods import METHODS
from tune.model import check_method, settle
from tune.plan import count_steps
from tune.results import write_json
from tune.runs import Run, open_run
from tune.settings import did_you_mean
from tune.sweep_result import Sweep, Trial, write_best
from tune.tables import OF_SCORES, UNBOUNDED
from tune.tuning import CACHE
from tune.work import Notes, Report, Work, compiled, evaluated, failure, load_base, prepare

SWEEP, BEST = "sweep.json", "best.yaml"
LOSS = "answer_loss"
#: A round of fewer steps says nothing about where a training will end.
LEAST = 10


def sweep(
    path: Path,
    asked: dict[str, Any],
    *,
    metric: str | None = None,
    out: Path | None = None,
    memory: str | None = None,
    force: bool = False,
    stream: TextIO,
    progress: Report = lambda text: None,
) -> Sweep:
    """Try a grid of settings on the run at `path`; returns the trials and the best of them, which best.yaml holds.

    `asked`, `stream` and `progress` as for `tune.tuning.tune`; `sets` and `file` of `asked` may hold several values of
    a setting (tune/grid.py). Raises UserError for wrong input, and where every trial failed.
    """
    notes, run = Notes(stream), open_run(path)
    grid = read_grid(asked.get("sets") or (), asked.get("file"))
    settled = list[str]()
    trials = _trials(run, grid, asked, settled)
    metric = _check_metric(run, trials[0].config.objective, metric)
    limit = parse_memory(memory) if memory is not None else None
    out = out or default_out(run, trials[0].config, "sweep")
    check_kind(out, SWEEP, "sweep")
    notes += settled
    lender, cache = Lender(), out.parent / CACHE
    base = load_base(run, trials[0].config, cache, notes, progress, lender)
    samples = len(base.tokens["train"])
    rounds = _rounds([count_steps(samples, trial.config) for trial in trials])
    found = Sweep.of(run.name, trials, rounds, metric, str(out), grid.values, _made_of(base.hashes, trials, metric))
    del base
    how = _Trying(run, out, rounds, metric, limit, cache, lender, progress)
    seconds = None
    if not force and (out / SWEEP).is_file():
        _take_up(out / SWEEP, found, trials)
    else:
        seconds = _seconds_a_step(how, trials[0])
        begin(out)
    write_json(out / SWEEP, found)
    print(found.budget(seconds), file=stream, flush=True)
    going = list(trials)
    for number in range(len(rounds)):
        for trial in going:
            if len(trial.results) > number or trial.failed:
                continue
            _go_on(how, trial, number)
            found.update(trials=[one.facts() for one in trials])
            write_json(out / SWEEP, found)
            print(f"  round {number + 1} of {len(rounds)}, {trial.line(metric)}", file=stream, flush=True)
        going = _better(going, number, rounds, metric)
        for trial in trials:
            if trial not in going:  # what would make it go on
                shutil.rmtree(out / trial.name / CHECKPOINTS, ignore_errors=True)
        if not going:
            raise UserError(*(f"{trial.name}: {trial.failed}" for trial in trials))
    best = going[0]
    write_best(out / BEST, run, best, rounds[0][best.number - 1])
    found.finish(trials, best, run, out / BEST)
    write_json(out / SWEEP, found)
    progress("")
    return found


# ---- what is tried


def _trials(run: Run, grid: Grid, asked: dict[str, Any], notes: list[str]) -> list[Trial]:
    """The combinations of the grid, those that a method's reading makes equal once."""
    rest = {key: value for key, value in asked.items() if key != "sets"}
    own = {key for method in METHODS.values() for key in method.keys}
    trials, seen, read = list[Trial](), set[str](), set[str]()
    for point in grid.points():
        said: list[str] = []
        flags = {**rest, "method": None} if "method" in point else rest
        config = settle(resolve(run, sets=grid.sets(point), notes=said, beside=(SECTION,), **flags), run, said)
        check_method(config, run)
        if not trials:
            notes += [note for note in said if "doesn't read" not in note]
        settings = {k: v for k, v in point.items() if k not in own or k in METHODS[config.method].keys}
        read |= settings.keys()
        if (key := json.dumps([config.method, settings])) not in seen:
            seen.add(key)
            trials.append(Trial(len(trials) + 1, settings, config))
    if unread := [key for key in grid.values if key not in read]:
        raise UserError(f"{', '.join(unread)}: method {trials[0].config.method} doesn't read that; leave it out")
    if "validation" not in run.splits:
        raise UserError(f"{run.path}: has no validation split, and a sweep chooses by it; curate the run with one")
    if trials[0].config.eval_every or trials[0].config.save_every:
        notes.append("eval_every and save_every are a sweep's own: it evaluates and saves at the end of each round")
    if len(trials) < 2:
        raise UserError("a sweep tries two combinations or more: give several values of a setting, like r=8,16")
    return trials


def _check_metric(run: Run, objective: str | None, metric: str | None) -> str:
    """The metric to choose by. Raises UserError where validation will have no such figure."""
    parts = run.parts
    own = parts[0].metrics if len(parts) == 1 else ()
    labels = ("accuracy_likelihood", "auc", "accuracy_at_threshold") if len(parts) == 1 and parts[0].labels else ()
    known = list(dict.fromkeys([LOSS, "exact_match", *own, *labels]))
    if objective == "regress":
        known = [LOSS, *OF_SCORES]
    if metric is not None and metric not in known:
        raise UserError(f"--metric: validation has no {metric!r}{did_you_mean(metric, known, 'it has')}")
    return metric or LOSS


def _rounds(steps: Sequence[int]) -> list[list[int]]:
    """For each round, the step up to which each trial trains that is still in it."""
    halvings = min(math.ceil(math.log2(len(steps))), max(0, int(math.log2(max(1, min(steps) / LEAST)))))
    first = [math.ceil(whole / 2**halvings) for whole in steps]
    return [[min(whole, f * 2**n) for whole, f in zip(steps, first, strict=True)] for n in range(halvings + 1)]


def _made_of(hashes: dict[str, str], trials: Sequence[Trial], metric: str) -> dict[str, Any]:
    """All that decides a sweep's results: another of these, and it is another sweep."""
    free = {"pack", "checkpointing", "compile", "save_every", "keep", "eval", "max_new_tokens"}
    settings = [trial.config.model_dump(mode="json", exclude=free) for trial in trials]
    return {"metric": metric, **hashes, "settings": settings}


def _take_up(file: Path, found: Sweep, trials: Sequence[Trial]) -> None:
    """Go on with a sweep that was cut off: its results count. Raises UserError where it is another one."""
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        was = before["made_of"]
        results = {entry["trial"]: entry for entry in before["trials"]}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: is damaged; --force begins the sweep anew") from None
    now = json.loads(json.dumps(found["made_of"]))
    if changed := [key for key in now if now[key] != was.get(key)]:
        raise UserError(
            f"{file.parent}: holds a sweep of other {', '.join(changed)}; --force replaces it, another --out keeps "
            "both"
        )
    for trial in trials:
        entry = results[trial.name]
        trial.results, trial.failed = entry["results"], entry.get("failed")
    found.update(trials=[trial.facts() for trial in trials])


# ---- trying


@dataclass(frozen=True)
class _Trying:
    """How trials are tried. memory: bytes that a plan may fill; cache: the folder of tokens."""

    run: Run
    out: Path
    rounds: list[list[int]]
    metric: str
    memory: int | None
    cache: Path
    lender: Lender
    progress: Report

    def prepared(self, config: Config, timing: bool = True) -> Work:
        return prepare(self.run, config, self.cache, self.memory, [], self.progress, timing=timing, load=self.lender)


def _seconds_a_step(how: _Trying, trial: Trial) -> float | None:
    """About how long a step takes, by a trial's plan; None where it can't be planned, which will be its failure."""
    try:
        plan = how.prepared(trial.config).plan
    except UserError:
        return None
    return plan.seconds / plan.steps if plan.seconds is not None else None


def _go_on(how: _Trying, trial: Trial, number: int) -> None:
    """Train a trial to the end of a round, and measure it; a failure is noted as such."""
    until, started = how.rounds[number][trial.number - 1], time.perf_counter()
    how.progress(f"{trial.name}, to step {until}")

    def measure() -> None:
        value = _measured(how, trial, until)
        if not math.isfinite(value):
            raise UserError(f"its {how.metric} is {value}")
        seconds = round(time.perf_counter() - started, 1)
        trial.results.append({"steps": until, "value": value, "seconds": seconds})

    trial.failed = failure(trial.name, measure)


def _measured(how: _Trying, trial: Trial, until: int) -> float:
    """Train from where the trial stands to step `until`; returns its figure on validation."""
    from tune.objectives import loss_of

    folder = how.out / trial.name
    going_on = newest(folder / CHECKPOINTS) is not None
    # A checkpoint is gone on from with the rows it was made with.
    config = read_lock(folder).config if going_on else trial.trained(how.rounds[0][trial.number - 1])
    work = how.prepared(config, timing=False)
    if not going_on:
        begin(folder)
        write_lock(work.config, folder, work.hashes)
        write_local(folder, how.run, finished=False)
        work.plan.write(folder)
    train_tokens, valid = work.tokens["train"], work.tokens["validation"]
    options: dict[str, Any] = {"loss_fn": loss_of(work.config, train_tokens), "resume": going_on, "until": until}
    with compiled(work.model, work.plan):
        result = train(work.model, train_tokens, valid, work.config, folder, work.plan, **options)
    if how.metric == LOSS:
        return math.nan if result.best_loss is None else result.best_loss
    return _figure(work, how.metric, how.progress)


def _figure(work: Work, metric: str, progress: Report) -> float:
    section = evaluated(work, ["validation"], progress).splits["validation"]
    if metric not in section:
        raise UserError(f"validation has no figure {metric}; it has {', '.join(section)}")
    return float(section[metric]["value"])


def _better(going: list[Trial], number: int, rounds: list[list[int]], metric: str) -> list[Trial]:
    """The trials that go on after a round, the best first: half of those that began it, or all but the failed."""
    alive = [trial for trial in going if not trial.failed]
    sign = 1 if metric in UNBOUNDED else -1
    ranked = sorted(alive, key=lambda trial: (sign * trial.results[number]["value"], trial.number))
    return ranked if number == len(rounds) - 1 else ranked[: math.ceil(len(going) / 2)]
