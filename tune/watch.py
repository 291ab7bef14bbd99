"""When to stop a training: its loss is no number any more, or went up and stays up, or somebody pressed Ctrl-C."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: A run has diverged when its loss was, for so many steps on end, both higher than blind guessing and three times the
#: lowest its moving average had been. One wild batch, or a small loss that grows tenfold, is no alarm.
DIVERGED_STEPS, DIVERGED_RATIO = 10, 3.0


@dataclass
class Watch:
    """smoothed, lowest: the loss's moving average (of some ten steps) and its minimum so far. high: steps on end whose
    loss looks diverged."""

    smoothed: float | None = None
    lowest: float = sys.float_info.max
    high: int = 0

    def see(self, loss: float, norm: float, chance: float) -> str | None:
        """What is wrong after a step with this loss and gradient norm, or None; `chance` is `chance_loss`."""
        for what, value in (("loss", loss), ("gradient's norm", norm)):
            if not math.isfinite(value):
                return f"the {what} is {value}"
        self.high = self.high + 1 if loss > max(chance, DIVERGED_RATIO * self.lowest) else 0
        if self.high >= DIVERGED_STEPS:
            return f"the loss diverged ({loss:.3g}; it had come down to {self.lowest:.3g})"
        self.smoothed = loss if self.smoothed is None else 0.9 * self.smoothed + 0.1 * loss
        self.lowest = min(self.lowest, self.smoothed)
        return None


def chance_loss(model: Any) -> float:
    """The loss of blind guessing, ln V (nats), of a classifier ln C; infinite, so that nothing is held against it,
    where that isn't known."""
    config: Any = getattr(model, "config", None)
    problem = getattr(config, "problem_type", None)
    if config is None or problem == "regression":
        return math.inf
    if problem is not None:
        return math.log(config.num_labels)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return math.log(text.vocab_size)


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; the second Ctrl-C interrupts at once. Outside the main thread Ctrl-C isn't ours."""
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt("in mid-step; --resume goes on from the last checkpoint")
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
