"""What is said while a tuning runs: to a terminal, to a file, to TensorBoard, to metrics.jsonl."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from toy_training import metrics, toy_train

from tune.errors import UserError
from tune.progress import Metrics, Progress, Rate, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def step(number: int, steps: int = 100, **changes: Any) -> dict[str, Any]:
    event = {"kind": "step", "step": number, "steps": steps, "loss": 1.5, "lr": 1e-3, "grad_norm": 2.0}
    return {**event, "tokens": 1000, "seconds": 0.5, **changes}


def run(seconds_a_step: float, steps: int) -> list[str]:
    """The lines of a run where stderr is a file."""
    now, file = [0.0], io.StringIO()
    with Progress(file=file, time=lambda: now[0]) as progress:
        progress({"kind": "start", "step": 0, "steps": steps})
        for number in range(1, steps + 1):
            now[0] += seconds_a_step
            progress(step(number, steps, seconds=seconds_a_step))
    return file.getvalue().splitlines()


def test_lines_where_there_is_no_terminal() -> None:
    assert [line.split()[1] for line in run(0.01, 1000)] == ["1000/1000"]
    assert [line.split()[1] for line in run(1.0, 100)] == [f"{n}/100" for n in range(10, 101, 10)]
    assert [line.split()[1] for line in run(3.0, 10)] == ["4/10", "8/10", "10/10"]
    assert len(run(1.0, 36_000)) == 600, "once a minute in ten hours"
    assert run(1.0, 100)[0] == "step 10/100  loss 1.5000  1,000 tok/s  1:30 left"


def test_a_bar_on_a_terminal() -> None:
    file = Terminal()
    with Progress(file=file) as progress:
        progress({"kind": "note", "text": "resumed [from] step 3"})
        progress({"kind": "start", "step": 3, "steps": 5})
        progress(step(4, 5))
        progress({"kind": "eval", "step": 4, "answer_loss": 1.25})
        progress({"kind": "checkpoint", "step": 4, "path": "x"})
        progress(step(5, 5, loss=None))
    shown = file.getvalue()
    for part in ("5/5", "note: resumed [from] step 3", "step 4: validation loss 1.2500", "2,000 tok/s", "loss nan"):
        assert part in shown


def test_a_training_reports_to_it(tmp_path: Path) -> None:
    file = io.StringIO()
    with Progress(file=file) as progress:
        toy_train(tmp_path, valid=None, options={"report": progress})
    assert "step 12/12" in file.getvalue() and "note: no validation rows" in file.getvalue()


def test_rate_forgets_the_first_step_and_old_ones() -> None:
    rate = Rate(window=3)
    assert rate.tokens_a_second == 0
    rate.add(1000, 50.0)
    assert rate.tokens_a_second == 20
    for seconds in (9.0, 1.0, 1.0, 2.0):
        rate.add(1000, seconds)
    assert rate.tokens_a_second == 750 and rate.seconds_a_step == pytest.approx(4 / 3)


def test_clock() -> None:
    assert [clock(s) for s in (0.4, 59.6, 61, 5400)] == ["0:00", "1:00", "1:01", "1:30:00"]


def test_tensorboard_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        Progress(board=tmp_path)


def test_tensorboard_gets_the_losses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written: list[Any] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            written.append(folder)

        def add_scalar(self, name: str, value: float, at: int) -> None:
            written.append((name, value, at))

        def close(self) -> None:
            written.append("closed")

    module: Any = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with Progress(board=tmp_path, file=io.StringIO()) as progress:
        progress(step(1))
        progress(step(2, grad_norm=None))
        progress({"kind": "eval", "step": 2, "answer_loss": 3.0})
    wanted = [("train/loss", 1.5, 1), ("train/lr", 1e-3, 1), ("train/grad_norm", 2.0, 1)]
    wanted += [("train/loss", 1.5, 2), ("train/lr", 1e-3, 2), ("validation/answer_loss", 3.0, 2)]
    assert written == [str(tmp_path), *wanted, "closed"]


def test_metrics_are_on_their_way_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Metrics(path) as lines:
        lines.write({"step": 1, "loss": 2.0})
        assert json.loads(path.read_text(encoding="utf-8")) == {"step": 1, "loss": 2.0}
        with pytest.raises(ValueError):
            lines.write({"step": 2, "loss": float("nan")})


def test_metrics_are_cut_at_a_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    Metrics(path).truncate(3)
    assert not path.exists()
    lines = [{"step": n, "seconds": 0} for n in (1, 2, 2, 3, 4)]
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"step": 2, "lo', encoding="utf-8")
    Metrics(path).truncate(2)
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 2]
    assert [child.name for child in tmp_path.iterdir()] == ["metrics.jsonl"]
