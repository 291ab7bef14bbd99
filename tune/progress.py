"""What a tuning says while it runs: metrics.jsonl, the terminal, and TensorBoard where asked for."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from tune.errors import UserError

#: Without a terminal: a line after ten seconds if a tenth of the steps went by, after a minute in any case.
OFTEN, SHARE, AT_LEAST = 10.0, 0.1, 60.0


class Metrics:
    """metrics.jsonl: one line a step (and one an evaluation, with "kind": "eval"), on its way to the disk at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: TextIO | None = None

    def truncate(self, step: int) -> None:
        """Forget what was written after `step`, and a line that was cut off in the middle."""
        if not self.path.exists():
            return
        kept = [text for text in self.path.read_text(encoding="utf-8").split("\n") if _step_of(text) <= step]
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        aside.write_text("".join(f"{text}\n" for text in kept), encoding="utf-8")
        aside.replace(self.path)

    def __enter__(self) -> Metrics:
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def write(self, line: dict[str, Any]) -> None:
        assert self.file is not None
        self.file.write(json.dumps(line, allow_nan=False) + "\n")
        self.file.flush()

    def __exit__(self, *error: object) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def _step_of(text: str) -> float:
    try:
        return json.loads(text)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


class Progress:
    """A bar with loss, tokens a second and the time left, on stderr; a line now and then where that is no terminal.

    To be entered, then called with the events of `tune.loop.train`. With `board`, losses go to TensorBoard files in
    that folder too.
    """

    def __init__(
        self,
        *,
        board: Path | None = None,
        file: TextIO | None = None,
        time: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file, self.time = file or sys.stderr, time
        self.board = _writer(board) if board else None
        self.bar: Any = None
        self.task: Any = None
        self.rate = Rate()
        self.said_at, self.said_step = self.time(), 0

    def __enter__(self) -> Progress:
        if self.file.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            console = Console(file=self.file, highlight=False, markup=False)
            columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[text]}"))
            self.bar = Bar(*columns, console=console, transient=False)
            self.bar.start()
        return self

    def __call__(self, event: dict[str, Any]) -> None:
        getattr(self, f"_{event['kind']}")(event)

    def _start(self, event: dict[str, Any]) -> None:
        self.said_step = event["step"]
        self.rate = Rate()
        if self.bar is not None:
            self.task = self.bar.add_task("", total=event["steps"], completed=event["step"], text="")

    def _step(self, event: dict[str, Any]) -> None:
        step, steps = event["step"], event["steps"]
        self.rate.add(event["tokens"], event["seconds"])
        self._plot("train", event, ("loss", "lr", "grad_norm"))
        left = clock(self.rate.seconds_a_step * (steps - step))
        text = f"loss {number(event['loss'])}  {self.rate.tokens_a_second:,.0f} tok/s  {left} left"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=text)
        elif step == steps or self._due(step, steps):
            self._say(f"step {step}/{steps}  {text}")
            self.said_at, self.said_step = self.time(), step

    def _due(self, step: int, steps: int) -> bool:
        waited = self.time() - self.said_at
        return waited >= AT_LEAST or (waited >= OFTEN and step - self.said_step >= SHARE * steps)

    def _eval(self, event: dict[str, Any]) -> None:
        self._plot("validation", event, ("answer_loss",))
        self._say(f"step {event['step']}: validation loss {number(event['answer_loss'])}")

    def _checkpoint(self, event: dict[str, Any]) -> None:
        pass

    def _note(self, event: dict[str, Any]) -> None:
        self._say(f"note: {event['text']}")

    def _say(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, soft_wrap=True)
        else:
            print(text, file=self.file, flush=True)

    def _plot(self, group: str, event: dict[str, Any], keys: tuple[str, ...]) -> None:
        for key in keys:
            if self.board is not None and event[key] is not None:
                self.board.add_scalar(f"{group}/{key}", event[key], event["step"])

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        if self.board is not None:
            self.board.close()


class Rate:
    """Tokens and seconds of the last steps; the first one, which compiles, counts only until there is a second."""

    def __init__(self, window: int = 20) -> None:
        self.window = window
        self.steps: list[tuple[int, float]] = []
        self.seen = 0

    def add(self, tokens: int, seconds: float) -> None:
        self.seen += 1
        if self.seen == 2:
            self.steps.clear()
        self.steps = [*self.steps, (tokens, seconds)][-self.window :]

    @property
    def tokens_a_second(self) -> float:
        return sum(tokens for tokens, _ in self.steps) / max(1e-9, sum(seconds for _, seconds in self.steps))

    @property
    def seconds_a_step(self) -> float:
        return sum(seconds for _, seconds in self.steps) / max(1, len(self.steps))


def number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"


def clock(seconds: float) -> str:
    """12 s as 0:12, an hour and a half as 1:30:00."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("TensorBoard isn't installed: pip install tensorboard, or leave --tensorboard out") from None
    return SummaryWriter(str(folder))
