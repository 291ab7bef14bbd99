"""The lock file of a tuning: every setting as resolved, and the hashes of all that went into it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from tune.config import Config
from tune.errors import UserError
from tune.results import write_text
from tune.runs import Run
from tune.settings import Settings

LOCK = "config.lock.yaml"
#: What the hashes are of, as the messages call it.
HASHES = {
    "recipe": "the recipe",
    "run": "the run",
    "tokenizer": "the tokenizer",
    "template": "the prompt template",
    "model": "the base model",
}
_HEAD = "# Every setting of this tuning; `python -m tune train RUN --config FILE` takes it as it is.\n"


class Lock(NamedTuple):
    """What a lock file holds."""

    config: Config
    hashes: dict[str, str]


def write_lock(config: Config, folder: Path, hashes: dict[str, str]) -> None:
    """Write `config.lock.yaml` into a folder, whole or not at all."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = False, 10_000
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    stream = io.StringIO()
    yaml.dump({**config.model_dump(mode="json"), "hashes": hashes}, stream)
    write_text(folder / LOCK, _HEAD + stream.getvalue())


def read_lock(folder: Path) -> Lock:
    """The settings and hashes of a tuning. Raises UserError where the folder is no tuning or the file is damaged."""
    path = folder / LOCK
    if not folder.is_dir():
        raise UserError(f"{folder}: no such tuning; `python -m tune train RUN` makes one")
    if not path.is_file():
        raise UserError(f"{folder}: not a tuning (it has no {LOCK}); name a folder that tune wrote")
    settings = Settings()
    settings.say_file(path)
    hashes = settings.values.pop("hashes", None)
    if not (isinstance(hashes, dict) and all(isinstance(value, str) for value in hashes.values())):
        raise UserError(f"{path}: holds no hashes: not a lock file, or it was changed")
    try:
        config = Config(**settings.values)
    except ValidationError as errors:
        settings.note_errors(errors, Config.model_fields)
        settings.check()
        raise
    settings.check()
    return Lock(config, hashes)


def hashes_of(run: Run, prompter: Any, model: Any) -> dict[str, str]:
    """sha256 of the recipe, the run, the tokenizer, the prompt template and the base model (as loaded, untrained)."""
    return {
        "recipe": str(run.manifest["recipe"].get("sha256", "")),
        "run": run.fingerprint,
        "tokenizer": prompter.tokenizer_sha256,
        "template": prompter.sha256,
        "model": model_hash(model),
    }


def model_hash(model: Any) -> str:
    """sha256 over each parameter's name, shape and up to 1,024 evenly spaced values, rounded to bf16.

    A sample, because reading a model of 8 billion parameters whole takes longer than many a tuning; rounded, because
    the same model is fp32 on one machine and bf16 on another.
    """
    import torch

    sha = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        values = parameter.detach().reshape(-1)
        sampled = values[:: max(1, values.numel() // 1024)].to(torch.bfloat16).cpu().contiguous()
        sha.update(f"{name} {tuple(parameter.shape)} ".encode())
        sha.update(sampled.view(torch.int16).numpy().tobytes())
    return sha.hexdigest()


def check_hashes(folder: Path, found: dict[str, str], now: dict[str, str]) -> None:
    """Raise UserError, naming all that is not what it was when the tuning in `folder` began."""
    changed = [HASHES[key] for key in HASHES if found.get(key) != now.get(key)]
    if changed:
        verb = "is" if len(changed) == 1 else "are"
        raise UserError(
            f"{folder}: {', '.join(changed)} {verb} not what this tuning began with; "
            "bring it back, or start anew with --force or another --out"
        )
