"""Checkpoints that a kill at any moment can't spoil.

    checkpoints/step-00000040/   weights.safetensors  optimizer.safetensors  state.json  manifest.json
    checkpoints/last             a link to the newest of them
    checkpoints/best             a link to the one with the best validation loss

A checkpoint is written under a hidden name, flushed to the disk and then renamed: a folder called step-N is always
whole. The links are for people and tools, and are replaced by a rename too; resuming goes by the numbers. A folder
that is no longer kept gets a hidden name before it is deleted, and hidden ones left by a kill go at the next save.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WEIGHTS, OPTIMIZER, STATE, MANIFEST = "weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """weights: trained parameters by name. optimizer: `Optimizer.state_dict()`. state: cursor, rng and settings."""

    path: Path
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def save(
    root: Path,
    step: int,
    weights: dict[str, Tensor],
    optimizer: dict[str, Tensor],
    state: dict[str, Any],
    *,
    keep: int,
    best: int | None = None,
) -> Path:
    """Writes `root`/step-N, makes it the last, points `best` at step `best`, and deletes all but the newest `keep`.

    The best one is always kept. A step that is there already is left as it is: the same trajectory wrote it.

    Raises:
        UserError: the disk is full or can't be written; what was there before is untouched.
    """
    from safetensors import SafetensorError

    folder = root / step_name(step)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for leftover in root.glob(".*"):
            _delete(leftover)
        if not folder.exists():
            _write(folder, weights, optimizer, state)
    except (OSError, SafetensorError) as error:
        before = newest(root)
        raise UserError(
            f"can't write the checkpoint of step {step}: {error}; "
            + (f"{before} is untouched: make room and go on from it with --resume" if before else "make room")
        ) from None
    _link(root / "last", folder.name)
    if best is not None:
        _link(root / "best", step_name(best))
    for old in sorted(root.glob("step-*"))[: -max(1, keep)]:
        if best is None or old.name != step_name(best):
            _delete(old.rename(root / f".old-{old.name}"))
    return folder


def _write(folder: Path, weights: dict[str, Tensor], optimizer: dict[str, Tensor], state: dict[str, Any]) -> None:
    """A whole checkpoint, on the disk, in one rename."""
    from safetensors.torch import save_file

    aside = folder.with_name(f".{folder.name}")
    aside.mkdir()
    save_file(_plain(weights), aside / WEIGHTS)
    save_file(_plain(optimizer), aside / OPTIMIZER)
    _write_json(aside / STATE, state)
    _write_json(aside / MANIFEST, {file: _sha256(aside / file) for file in (WEIGHTS, OPTIMIZER, STATE)})
    for path in (*aside.iterdir(), aside):
        _fsync(path)
    aside.rename(folder)
    _fsync(folder.parent)


def newest(root: Path) -> Path | None:
    """The checkpoint of the highest step, or None."""
    return max(root.glob("step-*"), default=None)


def load(folder: Path, *, optimizer: bool = True) -> Checkpoint:
    """Reads a checkpoint onto the CPU, every byte checked against its manifest.

    Raises:
        UserError: a file is missing or isn't what was written.
    """
    from safetensors.torch import load_file

    verify(folder)
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return Checkpoint(folder, load_file(folder / WEIGHTS), load_file(folder / OPTIMIZER) if optimizer else {}, state)


def verify(folder: Path) -> None:
    """Raises UserError unless every file of the checkpoint has the hash that its manifest names."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        broken = [name for name in (WEIGHTS, OPTIMIZER, STATE) if _sha256(folder / name) != manifest[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"corrupt checkpoint {folder}: {error!r}; {_cure(folder)}") from None
    if broken:
        raise UserError(f"corrupt checkpoint {folder}: {', '.join(broken)} is not what was written; {_cure(folder)}")


def _cure(folder: Path) -> str:
    real = folder.resolve()
    before = [path.name for path in real.parent.glob("step-*") if path.name < real.name]
    then = f"--resume goes on from {max(before)}" if before else "start again without --resume"
    return f"delete {real}, then {then}"


def load_weights(folder: Path, model: torch.nn.Module) -> None:
    """Puts a checkpoint's trained parameters into the model.

    Raises:
        UserError: corrupt, or made of other parameters than the model's trained ones.
    """
    put_weights(load(folder, optimizer=False), model)


def put_weights(checkpoint: Checkpoint, model: torch.nn.Module) -> None:
    """Like `load_weights`, of a checkpoint that is loaded already."""
    import torch

    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    shapes = {name: tuple(p.shape) for name, p in params.items()}
    differing = sorted(set(shapes.items()) ^ {(name, tuple(t.shape)) for name, t in checkpoint.weights.items()})
    if differing:
        raise UserError(
            f"{checkpoint.path} holds other trained parameters than this model: {differing[0][0]} differs "
            f"(and {len(differing) - 1} more); resume with the model and method it was made with"
        )
    with torch.no_grad():
        for name, p in params.items():
            p.copy_(checkpoint.weights[name])


def rng_state() -> dict[str, Any]:
    """Where every random number generator stands, as JSON."""
    import numpy as np
    import torch

    # The global generator is what other libraries draw from, so it is the one to keep.
    numpy_state = dict(np.random.get_state(legacy=False))
    numpy_state["state"] = {key: np.asarray(value).tolist() for key, value in numpy_state["state"].items()}
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": numpy_state,
        "torch": _pack_bytes(torch.get_rng_state()),
        "cuda": [_pack_bytes(state) for state in devices],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Puts every random number generator back to where `rng_state` found it."""
    import numpy as np
    import torch

    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    inner = {
        key: np.array(value, dtype=np.uint32) if key == "key" else value
        for key, value in state["numpy"]["state"].items()
    }
    np.random.set_state({**state["numpy"], "state": inner})
    torch.set_rng_state(_unpack_bytes(state["torch"]))
    if state["cuda"] and torch.cuda.is_available():
        # A machine with fewer devices takes as many as it has.
        for device, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
            torch.cuda.set_rng_state(_unpack_bytes(one), device)


def _pack_bytes(tensor: Tensor) -> str:
    return base64.b64encode(tensor.numpy().tobytes()).decode("ascii")


def _unpack_bytes(text: str) -> Tensor:
    import torch

    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def step_name(step: int) -> str:
    """The folder of a step, so named that the order of names is the order of steps."""
    return f"step-{step:08d}"


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What safetensors takes: contiguous, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link(link: Path, target: str) -> None:
    """Points `link` at its neighbour `target`, whatever it pointed at before, in one rename.

    Some file systems have no links (exFAT, mounted cloud drives); there the numbers alone must do.
    """
    aside = link.with_name(f".{link.name}")
    try:
        aside.symlink_to(target)
    except OSError:
        return
    aside.replace(link)
    _fsync(link.parent)


def _delete(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)
