"""A sweep's trials and what came of them: as JSON, as a table, and the best settings as YAML."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune.config import Config
from tune.methods import METHODS
from tune.results import write_text
from tune.runs import Run
from tune.tables import UNBOUNDED, text_table
from tune.timing import duration

RULE = "successive halving, eta 2 (Jamieson and Talwalkar 2016, arXiv:1502.07943)"
#: Settings that a sweep sets for itself, or that decide no weight: best.yaml leaves them to whoever takes it.
_LEFT_OUT = {"save_every", "keep", "pack", "checkpointing", "compile"}


@dataclass
class Trial:
    """One point of the grid. settings: of those that are swept, the ones that its method reads. results: of each round
    {"steps", "value", "seconds"}. failed: why it could not go on."""

    number: int
    settings: dict[str, Any]
    config: Config
    results: list[dict[str, Any]] = field(default_factory=list)
    failed: str | None = None

    @property
    def name(self) -> str:
        return f"trial-{self.number:02}"

    def trained(self, every: int) -> Config:
        """Its settings, with a validation and a checkpoint every so many steps: at the end of each round."""
        return self.config.model_copy(update={"eval_every": every, "save_every": every, "keep": 1, "eval": "none"})

    def facts(self) -> dict[str, Any]:
        """For sweep.json."""
        failed = {"failed": self.failed} if self.failed else {}
        return {"trial": self.name, "settings": self.settings, "results": self.results, **failed}

    def line(self, metric: str) -> str:
        said = ", ".join(f"{key}={_shown(value)}" for key, value in self.settings.items())
        if self.failed:
            return f"{self.name} ({said}): failed: {self.failed}"
        last = self.results[-1]
        return f"{self.name} ({said}): {metric} {_figure(metric, last['value'])} after {last['steps']:,} steps"


class Sweep(dict[str, Any]):
    """A sweep, ready for JSON; as text, a table.

    run, model, seed, metric, rule, path. grid: {setting: values}. rounds: of each, how many trials are in it, and
    the step they train to. trials: see `Trial.facts`. made_of: what decides the results. finished; once it is: best,
    the trial, its settings and value, and train, the command that trains with them.
    """

    @classmethod
    def of(
        cls,
        run: str,
        trials: Sequence[Trial],
        rounds: list[list[int]],
        metric: str,
        path: str,
        grid: dict[str, list[Any]],
        made_of: dict[str, Any],
    ) -> Sweep:
        """A sweep that has yet to begin."""
        in_round = [len(trials)]
        for _ in rounds[1:]:
            in_round.append(-(-in_round[-1] // 2))
        config = trials[0].config
        return cls(
            finished=False,
            run=run,
            model=config.model,
            seed=sorted({trial.config.seed for trial in trials}),
            metric=metric,
            rule=RULE,
            path=path,
            grid=grid,
            rounds=[{"trials": n, "steps": max(steps)} for n, steps in zip(in_round, rounds, strict=True)],
            trials=[trial.facts() for trial in trials],
            made_of=made_of,
        )

    def budget(self, seconds: float | None) -> str:
        """What will be done, at most, before it is. seconds: of a step, where that is known."""
        rounds, before, total, said = self["rounds"], 0, 0, []
        for one in rounds:
            total += one["trials"] * (one["steps"] - before)
            before = one["steps"]
            said.append(f"{one['trials']:,} to step {one['steps']:,}")
        whole = rounds[0]["trials"] * rounds[-1]["steps"]
        seeds = ", ".join(map(str, self["seed"]))
        lines = [
            f"sweep: {rounds[0]['trials']:,} trials of {' × '.join(self['grid'])}, seed {seeds}",
            f"rule: {self['rule']}: the better half by {self['metric']} on validation goes on",
            f"budget: {', then '.join(said)}: {total:,} steps, {total / whole:.0%} of training all to the end",
        ]
        if seconds is not None:
            lines[-1] += f"; about {duration(seconds * total)} of training"
        return "\n".join(lines)

    def finish(self, trials: Sequence[Trial], best: Trial, run: Run, file: Path) -> None:
        """Note what came of it."""
        self.update(trials=[trial.facts() for trial in trials], finished=True)
        value = best.results[-1]["value"]
        train = f"python -m tune train {shlex.quote(str(run.path))} --config {shlex.quote(str(file))}"
        self["best"] = {"trial": best.name, "settings": best.settings, "value": value, "train": train}

    def __str__(self) -> str:
        metric, keys = self["metric"], list(self["grid"])
        sign = 1 if metric in UNBOUNDED else -1

        def rank(trial: dict[str, Any]) -> tuple[int, float]:
            """The furthest first, and among those the best; the failed last."""
            results, failed = trial["results"], "failed" in trial
            return len(self["rounds"]) if failed else -len(results), sign * results[-1]["value"] if results else 0.0

        ends = [f"{metric}, step {one['steps']:,}" for one in self["rounds"]]
        rows = []
        for trial in sorted(self["trials"], key=rank):
            results = [_figure(metric, one["value"]) for one in trial["results"]]
            settings = [_shown(trial["settings"].get(key)) for key in keys]
            rows.append([trial["trial"], *settings, *results, *["–"] * (len(ends) - len(results)), self._fate(trial)])
        parts = [text_table(["trial", *keys, *ends, ""], rows, texts=1 + len(keys), last=True)]
        if best := self.get("best"):
            parts.append(f"train with the best settings:\n  {best['train']}")
        return "\n\n".join(parts)

    def _fate(self, trial: dict[str, Any]) -> str:
        if "failed" in trial:
            return f"failed: {trial['failed']}"
        if trial["trial"] == self.get("best", {}).get("trial"):
            return "best"
        return f"stopped after round {len(trial['results'])}" if len(trial["results"]) < len(self["rounds"]) else ""


def _figure(metric: str, value: float) -> str:
    return f"{value:.4f}" if metric in UNBOUNDED else f"{100 * value:.1f}"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def write_best(file: Path, run: Run, best: Trial, every: int) -> None:
    """The best trial's settings as `tune train --config` takes them: all that its method reads, so that training with
    them is training the trial. every: the steps between its validations."""
    from ruamel.yaml import YAML

    own = {key for method in METHODS.values() for key in method.keys}
    unread = own - set(METHODS[best.config.method].keys)
    config = best.config.model_copy(update={"eval_every": every})
    values = config.model_dump(mode="json", exclude={*unread, *_LEFT_OUT})
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = False, 10_000, True
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    stream = io.StringIO()
    yaml.dump({key: value for key, value in values.items() if value is not None}, stream)
    said = ", ".join(f"{key}={_shown(value)}" for key, value in best.settings.items())
    head = f"# The best of a sweep on {run.name} ({said}): python -m tune train RUN --config {file.name}\n"
    write_text(file, head + stream.getvalue())
