"""A finished tuning made without training: the tiny model on a hand-made run, its weights moved at random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tune.config import Config, resolve
from tune.data import tokenise
from tune.evaluate import evaluate
from tune.folder import begin, write_local
from tune.lock import write_lock
from tune.methods import METHODS
from tune.model import load
from tune.objectives import cut_at_samples
from tune.prompt import make_prompter
from tune.questions import labelled_splits
from tune.results import json_line, write_evaluation, write_json, write_text
from tune.runs import Run, open_run

ROW_TOKENS = 512


@dataclass
class Work:
    """A model on a run, and all that evaluating it needs."""

    run: Run
    config: Config
    model: Any
    tokenizer: Any
    prompter: Any
    tokens: dict[str, Any]

    def evaluate(self, splits: list[str] | None = None, **changes: Any) -> Any:
        config = self.config.model_copy(update=changes)
        splits = labelled_splits(self.run)[0] if splits is None else splits
        return evaluate(self.model, self.prompter, self.run, splits, config, self.tokens, row_tokens=ROW_TOKENS)


def work_on(run: Run, cache: Path, sets: tuple[str, ...] = (), **flags: Any) -> Work:
    """The tiny model on a run, untrained."""
    config = resolve(run, sets=sets, **flags)
    loaded = load(config, run, device="cpu")
    cut_at_samples(loaded.model)
    prompter = make_prompter(loaded.tokenizer, loaded.model.config, config.system, loaded.model.generation_config)
    tokens = {split: tokenise(run, split, prompter, config, cache) for split in run.splits}
    return Work(run, config, loaded.model, loaded.tokenizer, prompter, tokens)


def move(model: Any, seed: int, size: float = 0.05) -> None:
    """Change every trained parameter, as training would, but at random."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += size * torch.randn(parameter.shape, generator=random)


def make_tuning(
    run_folder: Path,
    out: Path,
    method: str,
    *,
    seed: int = 1,
    sets: tuple[str, ...] = (),
    evaluated: bool = True,
    model: str = "tiny",
) -> Work:
    """Make `out` a finished tuning; returns its model in memory, with which the saved one can be compared."""
    run = open_run(run_folder)
    work = work_on(run, out.parent / ".tokens", ("max_new_tokens=8", *sets), method=method, model=model)
    hashes = {"recipe": run.manifest["recipe"]["sha256"], "run": run.fingerprint}
    hashes |= {"tokenizer": work.prompter.tokenizer_sha256, "template": work.prompter.sha256, "model": "0" * 64}
    begin(out)
    write_local(out, run, finished=False)
    write_lock(work.config, out, hashes)
    parameters = {"trainable": 1_000, "total": 3_000_000}
    write_json(out / "plan.json", {"run": run.name, "samples": 16, "steps": 3, "parameters": parameters})
    if evaluated:
        write_evaluation(out, base=work.evaluate())
    work.model = METHODS[method].prepare(work.model, work.config)
    move(work.model, seed)
    work.model.eval()
    result = out / METHODS[method].folder
    METHODS[method].save(work.model, result)
    work.tokenizer.save_pretrained(result)
    steps = [{"step": step, "loss": 5 - step, "lr": 1e-3, "grad_norm": 1.0} for step in (1, 2, 3)]
    lines = [*steps, {"kind": "eval", "step": 3, "answer_loss": 2.5}]
    write_text(out / "metrics.jsonl", "".join(map(json_line, lines)))
    if evaluated:
        write_evaluation(out, tuned=work.evaluate())
    write_local(out, run, finished=True, training={"best_step": 2})
    return work
