"""The shape of a tuning method."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from tune.errors import UserError

#: How a method trains, which decides what memory it takes (tune/memory.py).
Kind = Literal["lora", "full", "freeze", "prefix", "prompt", "adapter", "ia3", "ln"]


@dataclass(frozen=True)
class Method:
    """`name` on the command line; `summary`: one line for `tune methods`; `when`: one line on when to choose it;
    `keys`: the settings it reads.

    lr, weight_decay: its defaults; source: where the learning rate comes from; tiny_lr: the one for the tiny model.
    folder: where its result stands in the tuning, "adapter" or "model"; saved: what is in there, `marker` one file
    that always is. fixed: settings that the name stands for; own: those it has where they are left open. unmerged:
    why `tune merge` can't fold the result into the base model, "" where it can. needs: packages beyond those of the
    extra `tune`.
    prepare(model, config, tokenizer=None): the model to train, with exactly the trained parameters requiring
    gradients; raises UserError where the method can't work with such a model, which it also finds out from one without
    weights (on the device "meta"). The tokenizer is for prompts that begin as a text. save(model, folder): the result,
    without tokenizer. load(model, folder): a base model with the result in it.
    """

    name: str
    kind: Kind
    summary: str
    when: str
    keys: tuple[str, ...]
    lr: float
    weight_decay: float
    source: str
    tiny_lr: float
    folder: str
    saved: str
    marker: str
    prepare: Callable[..., Any]
    save: Callable[[Any, Path], None]
    load: Callable[[Any, Path], Any]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    unmerged: str = ""
    needs: tuple[str, ...] = ()


def unfit(method: str, model: Any, why: str, instead: str) -> UserError:
    """The error of a method that can't work with a family of models; `instead`: the nearest thing that does."""
    return UserError(f"method {method}: can't work with {model.config.model_type} models: {why}; take {instead}")


def head_of(model: Any) -> list[str]:
    """The modules of a classifier that are new and learn with every method; none of a causal model."""
    names = [name for name in ("classifier", "score") if isinstance(getattr(model, name, None), torch.nn.Module)]
    return list(dict.fromkeys([*names, *getattr(model, "new_parts", ())])) if names else []


def task_of(model: Any) -> dict[str, Any]:
    """What PEFT has to know of the model's task: its type, and with a head the modules that learn as they are."""
    head = head_of(model)
    return {"task_type": "SEQ_CLS", "modules_to_save": head} if head else {"task_type": "CAUSAL_LM"}


def save_adapter(model: Any, folder: Path) -> None:
    """A PEFT adapter as PEFT saves it."""
    # Embeddings are not trained; "auto" would ask the hub whether they were resized.
    model.save_pretrained(folder, save_embedding_layers=False)


def load_adapter(model: Any, folder: Path) -> Any:
    """A base model with a PEFT adapter in it."""
    from peft import PeftModel

    with quietly():
        return PeftModel.from_pretrained(model, folder, autocast_adapter_dtype=False)


@contextmanager
def quietly() -> Iterator[None]:
    """Without PEFT's warning that it doesn't know the shape of a norm, which it doesn't need."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unsupported layer type")
        yield
