"""One optimiser step: the gradients of its packs, and what to do when a pack is too large for the memory."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tune.errors import UserError
from tune.optim import Optimizer
from tune.pack import Pack, build_pack, round_up

if TYPE_CHECKING:
    from tune.data import Tokens

LossFn = Callable[[Any, Pack], Tensor]
LESS = "take method lora, or a smaller model"


class Stepper:
    """Makes optimiser steps of packs. A pack that memory has no room for is split in two until it has."""

    def __init__(self, model: Any, tokens: Tokens, optimizer: Optimizer, loss_fn: LossFn) -> None:
        self.model, self.tokens, self.optimizer, self.loss_fn = model, tokens, optimizer, loss_fn
        self.device = optimizer.params[0].device
        self.longest = int(tokens.places.max())
        self.splits = 0

    def step(self, packs: list[Pack], lr: float, max_norm: float) -> Late:
        """One step; returns its [mean loss of an answer token, gradient norm before clipping], still on their way.

        Raises:
            UserError: one sample alone, or the optimiser's state, doesn't fit the memory.
        """
        answers = sum(pack.answers for pack in packs)
        loss, todo = torch.zeros((), device=self.device), deque(packs)
        while todo:
            pack = todo.popleft()
            part = self._backward(pack, answers)
            if part is None:
                todo.extendleft(reversed(self._split(pack)))
                self.splits += 1
            else:
                loss += part
        norm = self.optimizer.clip(max_norm)
        try:
            self.optimizer.step(lr)
        except torch.OutOfMemoryError:
            raise UserError(f"the optimiser's state doesn't fit the memory of {self.device}: {LESS}") from None
        return Late(torch.stack([loss / answers, norm]))

    def _backward(self, pack: Pack, answers: int) -> Tensor | None:
        """A pack's summed loss, its gradient added to the step's; None, and no trace of it, where memory ran out."""
        with contextlib.suppress(torch.OutOfMemoryError):
            return self._gradient(pack, answers)
        # Out here nothing holds the failed graph any more, so its memory really comes back.
        self.optimizer.drop()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _gradient(self, pack: Pack, answers: int) -> Tensor:
        loss = self.loss_fn(self.model, pack.to(self.device))
        (loss / answers).backward()
        self.optimizer.collect()
        return loss.detach()

    def _split(self, pack: Pack) -> list[Pack]:
        """The pack's samples in two shorter rows, of a length that follows from the pack's: few shapes to compile."""
        ends_S = np.cumsum(self.tokens.places[pack.samples])
        if len(ends_S) > 1:
            # Each half has at most half the tokens and half of one sample.
            cut = 1 + int(np.argmin(np.abs(ends_S[:-1] - ends_S[-1] / 2)))
            halves = [pack.samples[:cut], pack.samples[cut:]]
            row_tokens = round_up((pack.row_tokens + self.longest + 1) // 2)
        else:
            halves, row_tokens = [pack.samples], pack.row_tokens
        if row_tokens >= pack.row_tokens:
            row_tokens = round_up(max(int(self.tokens.places[half].sum()) for half in halves))
        if len(halves) == 1 and row_tokens >= pack.row_tokens:
            raise UserError(
                f"one sample of {int(ends_S[-1])} tokens doesn't fit the memory of {self.device}: lower max_length, "
                f"set checkpointing=on, or {LESS}"
            )
        return [build_pack(self.tokens, half, row_tokens) for half in halves]


class Late:
    """Numbers on their way from the device, so that nobody waits for it before they are read."""

    def __init__(self, values: Tensor) -> None:
        self.values, self.arrived = values, None
        if values.is_cuda:
            self.values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self.values.copy_(values, non_blocking=True)
            # Reading a tensor of the GPU would wait for the step after this one too; an event waits for the copy only.
            self.arrived = torch.cuda.Event()
            self.arrived.record()

    def read(self) -> list[float]:
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.values.tolist()


#: Linux: what a process held at most, in kB, since it began or wrote 5 to the other file.
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` begin anew; on systems that can't, it goes on from what it was."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        CLEAR.write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Bytes at most in use since the reset: torch's on a GPU, else the process's resident set; 0 where none tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = STATUS.read_text(encoding="utf-8") if STATUS.exists() else ""
    if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
        return int(found[1]) << 10
    if sys.platform == "win32":
        return 0
    import resource

    # macOS counts in bytes, others in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
