"""The training loop: steps in a fixed order, each of as many packs as its samples fill, until the schedule ends.

What makes it exact: the samples of a step are a pure function of (seed, epoch), a step's loss is the mean over the
answer tokens of the whole step however they are packed, and a checkpoint holds the random states too. So a resumed run
is the uninterrupted one (bit-equal on a CPU), and a pack that had to be split for want of memory makes the same step.
What makes it fast: nothing waits for the device. The next step's packs are made in a thread while this one computes;
losses and norms of a GPU are read one step late.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tune import checkpoint
from tune.errors import UserError
from tune.optim import Optimizer, schedule
from tune.pack import Pack, build_pack, fill_rows, round_up, step_samples
from tune.progress import Metrics
from tune.step import Late, LossFn, Stepper, peak_memory, reset_peak_memory
from tune.watch import Watch, chance_loss, interruptible

if TYPE_CHECKING:
    from tune.config import Config
    from tune.data import Tokens

#: Settings that may change between a checkpoint and its resumption: none of them moves a weight by more than rounding.
FREE = {"pack", "save_every", "keep", "eval", "eval_limit", "max_new_tokens", "checkpointing", "compile"}
#: Where the settings don't say how often, a validation (and a checkpoint) comes once an epoch, but about so often at
#: most: more of them would cost more than the steps of a small corpus.
EVALUATIONS = 10

NllFn = Callable[..., tuple[np.ndarray, np.ndarray]]
Report = Callable[[dict[str, Any]], None]


@dataclass
class Cursor:
    """Where a tuning stands: all that a checkpoint must know beside weights, optimiser and random states.

    step: finished steps. seconds, tokens: spent on them (real tokens). loss: of the last. stale: evaluations since the
    best one. done: there is nothing left to train.
    """

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    loss: float | None = None
    oom_splits: int = 0
    best_step: int = 0
    best_loss: float | None = None
    stale: int = 0
    watch: Watch = field(default_factory=Watch)
    done: bool = False


@dataclass(frozen=True)
class Result:
    """What came of a training. The model holds the weights of `best_step`.

    seconds, tokens: of all steps, earlier sittings included, without evaluation. tokens_per_second: real tokens of
    this sitting, its first step (which compiles) left out. loss: of the last step. peak_memory: bytes, on the GPU
    or else of the process.
    """

    steps: int
    seconds: float
    tokens: int
    tokens_per_second: float
    loss: float | None
    best_step: int
    best_loss: float | None
    oom_splits: int
    peak_memory: int
    notes: list[str]


def train(
    model: torch.nn.Module,
    tokens: Tokens,
    valid: Tokens | None,
    config: Config,
    out: Path,
    plan: Any,
    *,
    loss_fn: LossFn | None = None,
    nll_fn: NllFn | None = None,
    resume: bool = False,
    until: int | None = None,
    report: Report | None = None,
) -> Result:
    """Train the parameters of `model` that require gradients; returns with the best checkpoint's weights in it.

    Writes `out`/metrics.jsonl and `out`/checkpoints. `plan.pack` is the tokens of a row, `plan.steps` how
    many optimiser steps. `loss_fn(model, pack)` gives
    a pack's summed loss, `nll_fn(model, tokens, row_tokens, samples)` each sample's (defaults: tune.objectives).
    `until`: the step after which to stop, with a checkpoint from which `resume` goes on.
    `report` gets a dict for everything that happens, its "kind" one of start, step, eval, checkpoint, note.

    Raises:
        UserError: nothing to resume, another tuning's checkpoint, a corrupt one, a loss that isn't a number any more
            or diverged, a sample too large for the memory.
        KeyboardInterrupt: Ctrl-C; the step was finished and a checkpoint written, its message says how to go on.
    """
    if loss_fn is None or nll_fn is None:
        from tune.objectives import answer_nll, sft_loss

        loss_fn, nll_fn = loss_fn or sft_loss, nll_fn or answer_nll
    training = _Training(model, tokens, valid, config, out, plan, loss_fn, nll_fn, report)
    if resume:
        training.resume()
    else:
        training.begin()
    with training.metrics, interruptible() as interrupted:
        training.run(interrupted, plan.steps if until is None else min(until, plan.steps))
    return training.result()


class _Training:
    def __init__(
        self,
        model: torch.nn.Module,
        tokens: Tokens,
        valid: Tokens | None,
        config: Config,
        out: Path,
        plan: Any,
        loss_fn: LossFn,
        nll_fn: NllFn,
        report: Report | None,
    ) -> None:
        if config.lr is None or config.weight_decay is None:
            raise ValueError("lr and weight_decay are the method's to say: make the settings with tune.config.resolve")
        self.model, self.tokens, self.config, self.out = model, tokens, config, out
        self.valid = valid if valid is not None and len(valid) else None
        self.row_tokens, self.steps, self.nll_fn = plan.pack, plan.steps, nll_fn
        self.report = report or (lambda event: None)
        self.lr = config.lr
        self.optimizer = Optimizer(
            model,
            weight_decay=config.weight_decay,
            betas=config.betas,
            eps=config.eps,
            loraplus=config.loraplus,
        )
        self.stepper = Stepper(model, tokens, self.optimizer, loss_fn)
        self.on_gpu = self.stepper.device.type == "cuda"
        self.places_N = tokens.places
        self.per_epoch = math.ceil(len(tokens) / config.batch)
        often = self.per_epoch * max(1, round(self.steps / self.per_epoch / EVALUATIONS))
        self.eval_every = config.eval_every or often
        self.save_every = config.save_every or often
        self.chance = chance_loss(model)
        self.epoch_steps = lru_cache(2)(lambda epoch: step_samples(len(tokens), config.batch, config.seed, epoch))
        self.checkpoints = out / "checkpoints"
        self.metrics = Metrics(out / "metrics.jsonl")
        self.cursor, self.pending, self.notes = Cursor(), deque[tuple[dict[str, Any], Late]](), list[str]()
        self.clock, self.warm_seconds, self.warm_tokens, self.settled = 0.0, 0.0, 0, 0

    # Beginning

    def begin(self) -> None:
        """A fresh start, from the seed."""
        if checkpoint.newest(self.checkpoints):
            raise UserError(
                f"{self.out} holds a tuning's checkpoints: --resume goes on from them, another --out starts beside it"
            )
        self.out.mkdir(parents=True, exist_ok=True)
        self.metrics.path.unlink(missing_ok=True)
        random.seed(self.config.seed)
        np.random.seed(self.config.seed % 2**32)
        torch.manual_seed(self.config.seed)

    def resume(self) -> None:
        """Everything as it was when the newest checkpoint was written."""
        folder = checkpoint.newest(self.checkpoints)
        if folder is None:
            raise UserError(f"{self.out}: nothing to resume, it has no checkpoint yet; start without --resume")
        saved = checkpoint.load(folder)
        self._check_same(saved)
        cursor = saved.state["cursor"]
        self.cursor = Cursor(**{**cursor, "watch": Watch(**cursor["watch"])})
        if self.cursor.done and any((self.out / kind).is_dir() for kind in ("adapter", "model")):
            raise UserError(f"{self.out}: this tuning is finished ({self.cursor.step} steps): nothing to resume")
        self.row_tokens = self.config.pack or saved.state["row_tokens"]
        checkpoint.put_weights(saved, self.model)
        self.optimizer.load_state_dict(saved.optimizer)
        self.metrics.truncate(self.cursor.step)
        self._note(f"resumed from {folder.name} of {self.steps} steps")
        checkpoint.set_rng_state(saved.state["rng"])

    def _settings(self) -> dict[str, Any]:
        settings = self.config.model_dump(mode="json", exclude=FREE)
        return {**settings, "data": self.tokens.key, "validation": self.valid.key if self.valid else None}

    def _check_same(self, saved: checkpoint.Checkpoint) -> None:
        was, now = saved.state["settings"], self._settings()
        changed = [f"{key} {was.get(key)} → {now.get(key)}" for key in {**was, **now} if was.get(key) != now.get(key)]
        if changed:
            raise UserError(
                f"{saved.path} was made with other settings ({'; '.join(changed)}): resume with the same, "
                "or start anew with another --out"
            )

    # Running

    def run(self, interrupted: threading.Event, until: int) -> None:
        self.report({"kind": "start", "step": self.cursor.step, "steps": self.steps})
        self.model.train()
        reset_peak_memory(self.stepper.device)
        self.clock = time.perf_counter()
        with contextlib.closing(_ahead(self._packs, self.cursor.step, until)) as ahead:
            while not self.cursor.done and self.cursor.step < until:
                self._step(next(ahead))
                self._after_step(interrupted.is_set(), self.cursor.step == until)
        self._keep_best()

    def _packs(self, step: int) -> list[Pack]:
        """The packs of a step, in page-locked memory for a GPU; called in another thread."""
        epoch, within = divmod(step, self.per_epoch)
        rows = fill_rows(self.places_N, self.epoch_steps(epoch)[within], self.row_tokens)
        packs = [build_pack(self.tokens, samples, self.row_tokens) for samples in rows]
        return [pack.pin() for pack in packs] if self.on_gpu else packs

    def _step(self, packs: list[Pack]) -> None:
        """One optimiser step; its loss and norm are left on the device."""
        cursor, config, splits = self.cursor, self.config, self.stepper.splits
        lr = self.lr * schedule(config.schedule, cursor.step, self.steps, config.warmup)
        values = self.stepper.step(packs, lr, config.clip)
        splits = self.stepper.splits - splits
        if splits and not cursor.oom_splits:
            self._note(
                f"memory ran out: packs are split, the steps stay the same; try --set pack={self.row_tokens // 2}"
            )
        cursor.step += 1
        cursor.oom_splits += splits
        line = {"step": cursor.step, "epoch": self._epoch(), "lr": lr, "tokens": sum(pack.tokens for pack in packs)}
        line |= {"answers": sum(pack.answers for pack in packs), **({"oom_splits": splits} if splits else {})}
        cursor.tokens += line["tokens"]
        self.pending.append((line, values))

    def _after_step(self, interrupted: bool, last: bool) -> None:
        """Read what is due, and whatever stands on the calendar: validation, a checkpoint, the end."""
        cursor = self.cursor
        self._settle(wait=not self.on_gpu)
        best, at_end = cursor.best_step, cursor.step == self.steps
        if self.valid is not None and (at_end or cursor.step % self.eval_every == 0):
            self._evaluate(self.valid)
            if self.config.patience and cursor.stale >= self.config.patience:
                self._note(f"stopped at step {cursor.step}: {cursor.stale} evaluations without a better one")
                at_end = True
        cursor.done = at_end
        if at_end or last or interrupted or cursor.best_step != best or cursor.step % self.save_every == 0:
            self._save()
        if interrupted:
            raise KeyboardInterrupt(f"stopped after step {cursor.step} of {self.steps}; --resume goes on from there")

    def _settle(self, *, wait: bool = True) -> None:
        """Write down finished steps; without `wait` all but the newest, which the GPU may still be at."""
        while len(self.pending) > (0 if wait else 1):
            line, values = self.pending.popleft()
            loss, norm = values.read()
            now = time.perf_counter()
            seconds, self.clock = now - self.clock, now
            line = {**line, "loss": _finite(loss), "grad_norm": _finite(norm), "seconds": round(seconds, 6)}
            self.metrics.write(line)
            self.cursor.seconds += seconds
            if self.settled:
                self.warm_seconds += seconds
                self.warm_tokens += line["tokens"]
            self.settled, self.cursor.loss = self.settled + 1, loss
            self.report({"kind": "step", "steps": self.steps, **line})
            if wrong := self.cursor.watch.see(loss, norm, self.chance):
                self._stop(f"step {line['step']}: {wrong}")

    def _stop(self, what: str) -> None:
        good = checkpoint.newest(self.checkpoints)
        left = f"the last good checkpoint is {good}" if good else "there was no checkpoint yet"
        raise UserError(f"{what}: stopped; {left}. Try a lower lr (it is {self.lr:g}) or a longer warmup")

    def _evaluate(self, valid: Tokens) -> None:
        self._settle()
        cursor, started = self.cursor, time.perf_counter()
        nll_N, count_N = self._answer_nll(valid)
        loss, seconds = float(nll_N.sum() / count_N.sum()), time.perf_counter() - started
        line = {"kind": "eval", "step": cursor.step, "epoch": self._epoch()}
        line |= {"answer_loss": _finite(loss), "answers": int(count_N.sum()), "seconds": round(seconds, 6)}
        self.metrics.write(line)
        self.report(line)
        if not math.isfinite(loss):
            self._stop(f"step {cursor.step}: the validation loss is {loss}")
        if cursor.best_loss is None or loss < cursor.best_loss:
            cursor.best_step, cursor.best_loss, cursor.stale = cursor.step, loss, 0
        else:
            cursor.stale += 1
        self.clock = time.perf_counter()

    def _answer_nll(self, valid: Tokens) -> tuple[np.ndarray, np.ndarray]:
        """`nll_fn` on the validation samples, in shorter rows if memory wants it."""
        longest = round_up(int(valid.places.max()))
        row_tokens = max(self.row_tokens, longest)
        samples = valid.first(self.config.eval_limit)
        while True:
            with contextlib.suppress(torch.OutOfMemoryError):
                return self.nll_fn(self.model, valid, row_tokens, samples)
            if row_tokens == longest:
                raise UserError(f"a validation sample of {longest} tokens doesn't fit the memory: lower max_length")
            row_tokens = max(round_up(row_tokens // 2), longest)

    def _epoch(self) -> float:
        return round(self.cursor.step / self.per_epoch, 4)

    def _save(self) -> None:
        self._settle()
        if self.valid is None:
            self.cursor.best_step = self.cursor.step
        state = {
            "cursor": asdict(self.cursor),
            "rng": checkpoint.rng_state(),
            "settings": self._settings(),
            "row_tokens": self.row_tokens,
        }
        weights, optimizer = self.optimizer.weights(), self.optimizer.state_dict()
        best = self.cursor.best_step or None
        folder = checkpoint.save(
            self.checkpoints, self.cursor.step, weights, optimizer, state, keep=self.config.keep, best=best
        )
        self.report({"kind": "checkpoint", "step": self.cursor.step, "path": str(folder)})
        self.clock = time.perf_counter()

    # Ending

    def _keep_best(self) -> None:
        best = self.cursor.best_step
        if not (self.checkpoints / "last").exists():
            self._note(
                "this file system has no links: checkpoints/last and best are missing, the numbered ones are there"
            )
        if self.valid is None:
            self._note("no validation rows: the last step is taken for the best")
        elif best != self.cursor.step:
            checkpoint.load_weights(self.checkpoints / checkpoint.step_name(best), self.model)
            self._note(f"the weights of step {best} are kept: its validation loss was the lowest")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.report({"kind": "note", "text": text})

    def result(self) -> Result:
        cursor = self.cursor
        return Result(
            steps=cursor.step,
            seconds=cursor.seconds,
            tokens=cursor.tokens,
            tokens_per_second=self.warm_tokens / self.warm_seconds if self.warm_seconds else 0.0,
            loss=cursor.loss,
            best_step=cursor.best_step,
            best_loss=cursor.best_loss,
            oom_splits=cursor.oom_splits,
            peak_memory=peak_memory(self.stepper.device),
            notes=self.notes,
        )


def _ahead(make: Callable[[int], list[Pack]], first: int, stop: int) -> Generator[list[Pack]]:
    """make(first), …, make(stop - 1); each is made in a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, first)
        for step in range(first, stop):
            packs = coming.result()
            if step + 1 < stop:
                coming = pool.submit(make, step + 1)
            yield packs


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
