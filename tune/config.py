"""Every setting of a tuning and its default: this class and nowhere else (lr and weight decay: each method's own).

A value comes from a flag, `--set KEY=VALUE`, the YAML file of `--config`, the `tune:` section of the run's recipe, or
its default: the first of these that names it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tune.errors import UserError
from tune.runs import MANIFEST, Run
from tune.settings import Settings, did_you_mean

TINY, TINY_BERT = "tiny", "tiny-bert"
#: Models that are made on the spot: a decoder, and an encoder.
TINIES = (TINY, TINY_BERT)


def _targets(value: Any) -> Any:
    """`all-linear`, or names of modules: a list, or one text with commas (as `--set` likes it)."""
    if isinstance(value, str) and value != "all-linear":
        value = [name.strip() for name in value.split(",")]
    if value != "all-linear" and not (
        isinstance(value, list) and value and all(isinstance(n, str) and n for n in value)
    ):
        raise ValueError("must be all-linear, or names of modules like [q_proj, v_proj]")
    return value


Count = Annotated[int, Field(ge=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Switch = Literal["auto", "on", "off"]


class Config(BaseModel):
    """The settings of one tuning. `None` is a choice left to the method, the plan or the data, as described."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    model: str = Field(
        TINY, min_length=1, description="a folder, a hub name, or tiny, tiny-bert: a small model made on the spot"
    )
    method: str = Field("lora", description="what is trained (`tune methods`); full for the tiny model")
    seed: int = Field(0, ge=0, lt=2**63, description="decides new weights, the order of samples and dropout")

    lr: float | None = Field(None, gt=0, description="peak learning rate; the method's own where not given")
    epochs: float = Field(3.0, gt=0, description="passes over the train split")
    steps: Count | None = Field(None, description="optimiser steps; where given, epochs doesn't count")
    batch: int = Field(64, ge=1, description="samples an optimiser step, however many packs they fill")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="the learning rate after warm-up")
    warmup: float = Field(0.03, ge=0, lt=1, description="the share of the steps in which the learning rate rises")
    weight_decay: float | None = Field(
        None, ge=0, description="not on norms and biases; the method's own if not given"
    )
    clip: float = Field(1.0, gt=0, description="the gradient's largest norm")
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), strict=False, description="AdamW's")
    eps: float = Field(1e-8, gt=0, description="AdamW's")

    max_length: int = Field(1024, ge=8, description="tokens a sample may have, its answer and end included")
    too_long: Literal["drop", "truncate_prompt", "error"] = Field(
        "drop", description="what becomes of a longer sample"
    )
    pack: Annotated[int, Field(ge=8)] | None = Field(None, description="tokens a row; chosen by the plan if not given")
    loss: Literal["output", "all"] = Field("output", description="the tokens that are learnt: the answers', or all")
    objective: Literal["sft", "classify", "regress"] | None = Field(
        None, description="what is learnt: answers, or by a head labels or scores; classify for encoders, else sft"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="classify: the share of a label spread over all")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="classify: balanced, so that rare labels weigh as much as frequent ones"
    )
    system: str | None = Field(None, description="a system message for every sample; if not given, the samples' own")

    r: int = Field(16, ge=1, description="lora: the rank")
    alpha: int = Field(32, ge=1, description="lora: the scale is alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="lora: dropout on the adapters' input")
    targets: Annotated[Literal["all-linear"] | list[str], BeforeValidator(_targets)] = Field(
        "all-linear", description="lora: the modules that get adapters"
    )
    rslora: bool = Field(False, description="lora: scale by alpha / √r instead (rsLoRA)")
    dora: bool = Field(False, description="lora: magnitude and direction apart (DoRA)")
    loraplus: float | None = Field(None, gt=0, description="lora: lr of B over lr of A (LoRA+; 16 in the paper)")
    init: Literal[True, "gaussian", "pissa"] = Field(
        True, description="lora: how A and B begin; true: A random, B zero"
    )
    layers: int = Field(2, ge=1, description="freeze: how many of the last layers are trained")
    virtual_tokens: int = Field(20, ge=1, description="prompt methods: tokens before every sample")
    prompt_init: Literal["vocabulary", "random", "text"] = Field(
        "vocabulary", description="prompt: the embeddings begin as words drawn from the vocabulary, …, or of a text"
    )
    prompt_text: str | None = Field(None, min_length=1, description="prompt: that text; repeated or cut to fit")
    encoder: Literal["mlp", "lstm"] = Field("mlp", description="p_tuning: the network that makes the embeddings")
    encoder_hidden: Count | None = Field(
        None, description="prefix, p_tuning: that network's width; 512 for prefix, the model's for p_tuning"
    )
    bottleneck: int = Field(64, ge=1, description="adapter: the networks' inner width")
    placement: Literal["houlsby", "pfeiffer"] = Field(
        "houlsby", description="adapter: after attention and feed-forward network, or after the latter only"
    )

    save_every: Count | None = Field(None, description="steps between checkpoints; if not given an epoch, ten in all")
    keep: int = Field(2, ge=1, description="checkpoints kept, beside the best")
    eval: Literal["both", "tuned", "none"] = Field("both", description="which model is evaluated: base and tuned, …")
    eval_every: Count | None = Field(
        None, description="steps between validation losses; if not given an epoch, ten in all"
    )
    eval_limit: Count | None = Field(
        None, description="rows of each split (of a mixture: of each corpus) that are evaluated; all if not given"
    )
    patience: Count | None = Field(None, description="stop after so many validation losses without a new best")
    max_new_tokens: int = Field(64, ge=1, description="the longest answer that is generated")

    checkpointing: Switch = Field("auto", description="gradient checkpointing; auto: chosen by the plan")
    compile: Switch = Field("auto", description="torch.compile of each layer; auto: on a GPU, where it pays")

    @property
    def has_head(self) -> bool:
        """Whether a head on the model learns labels or scores."""
        return self.objective in ("classify", "regress")


#: What the tiny model takes instead of the class's and the method's defaults. It is there to show the machinery in a
#: minute: random weights learn next to nothing through adapters, and need large steps, but few of them.
TINY_DEFAULTS: dict[str, Any] = {"method": "full", "steps": 60, "batch": 16}


def resolve(
    run: Run | None,
    *,
    file: Path | None = None,
    sets: Sequence[str] = (),
    notes: list[str] | None = None,
    beside: Collection[str] = (),
    **flags: Any,
) -> Config:
    """The settings of a tuning, all of them decided but those that `None` or `auto` leaves to the plan.

    Flags that are None count as not given. `beside`: keys of the file that are no settings. What was decided against
    what somebody wrote is added to `notes`.
    Raises UserError with everything that is wrong, each at its file and line, `--set` or flag.
    """
    from tune.methods import METHODS

    settings = Settings()
    if run is not None:
        settings.say_all(run.tune, f"{run.path / MANIFEST}: tune")
    asked = _collect(settings, file, sets, flags, beside)
    config = _validate(settings)
    values = dict(settings.values)
    if config is not None and config.model in TINIES:
        values = _for_tiny(values, asked, notes)
    name = values.get("method", Config.model_fields["method"].default)
    if isinstance(name, str) and name not in METHODS:
        what = f"method: {name!r} is not one of {', '.join(METHODS)}{did_you_mean(name, METHODS)}"
        settings.wrong("method", what)
    settings.check()
    method = METHODS[name]
    values = _under_its_name(method, values, asked)
    lr = own_lr(method, values.get("model", TINY))
    own = {"lr": lr, "weight_decay": method.weight_decay, **method.own}
    values |= {key: value for key, value in own.items() if values.get(key) is None}
    if values.get("prompt_init") == "text" and "prompt_init" in method.keys and not values.get("prompt_text"):
        raise UserError("prompt_init=text: the embeddings begin as the words of prompt_text; give that too")
    _note_unread(method, asked, METHODS.values(), notes)
    return Config(**values)


def own_lr(method: Any, model: str) -> float:
    """The learning rate of a method on a model where none is given. tiny-bert takes a tenth of tiny's: its norms stand
    behind the residuals (as in BERT), and from random weights larger steps only make it forget its input."""
    return {TINY: method.tiny_lr, TINY_BERT: method.tiny_lr / 10}.get(model, method.lr)


def continued(config: Config, locked: Config, folder: Path, free: Iterable[str], **asked: Any) -> Config:
    """The settings with which a tuning goes on: those it began with, but for `free` ones that were `asked` for.

    `asked` is what `resolve` was given, `config` what it made of it. Raises UserError for anything else that differs.
    """
    keys = _collect(Settings(), asked.pop("file", None), asked.pop("sets", ()), asked)
    changed = {key: getattr(config, key) for key in keys if getattr(config, key) != getattr(locked, key)}
    if stuck := sorted(set(changed) - set(free)):
        said = ", ".join(f"{key} is {getattr(locked, key)!r} there, not {changed[key]!r}" for key in stuck)
        raise UserError(
            f"--resume: goes on with the settings of {folder}: {said}; leave that out, or begin with --force"
        )
    return locked.model_copy(update=changed)


def _collect(
    settings: Settings, file: Path | None, sets: Sequence[str], flags: dict[str, Any], beside: Collection[str] = ()
) -> set[str]:
    """Add what somebody asked for in this call to the settings; returns its keys."""
    before = dict(settings.places)
    if file is not None:
        settings.say_file(file)
        for key in ("hashes", *beside):  # a lock file's hashes are another tuning's, and no setting
            settings.values.pop(key, None)
    for text in sets:
        settings.say_set(text)
    for flag, value in flags.items():
        if value is not None:
            settings.say(flag, value, f"--{flag}")
    return {key for key in settings.values if settings.places[key] != before.get(key)}


def _validate(settings: Settings) -> Config | None:
    """The settings as they were said, or None where they are wrong (noted)."""
    try:
        return Config(**settings.values)
    except ValidationError as errors:
        settings.note_errors(errors, Config.model_fields)
        return None


def _for_tiny(values: dict[str, Any], asked: set[str], notes: list[str] | None) -> dict[str, Any]:
    """The tiny model's own defaults below what was asked for; the recipe's method is meant for a real model."""
    own = dict(TINY_DEFAULTS)
    if "epochs" in values:
        del own["steps"]
    result = own | values
    if "method" not in asked:
        said = values.get("method", Config.model_fields["method"].default)
        result["method"] = own["method"]
        if notes is not None and said != own["method"]:
            notes.append(
                f"model {result.get('model', TINY)}: method {own['method']} instead of {said}, for random weights "
                f"learn next to nothing through adapters; --method {said} insists on it"
            )
    return result


def _under_its_name(method: Any, values: dict[str, Any], asked: set[str]) -> dict[str, Any]:
    """With the settings that the method's name stands for. Raises UserError where another was asked for."""
    for key, value in method.fixed.items():
        if key in asked and values[key] != value:
            raise UserError(
                f"method {method.name}: stands for {key}={_said(value)}, and {key} is {_said(values[key])}; "
                "leave that out, or take method lora"
            )
    return values | dict(method.fixed)


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _note_unread(method: Any, asked: set[str], methods: Iterable[Any], notes: list[str] | None) -> None:
    """Say which settings that somebody asked for belong to other methods."""
    others: dict[str, str] = {}
    for other in methods:
        others = {key: other.name for key in other.keys} | others
    unread = sorted(key for key in asked if key in others and key not in method.keys)
    if unread and notes is not None:
        notes.append(f"method {method.name} doesn't read {', '.join(unread)} ({others[unread[0]]} does)")


def default_out(run: Run, config: Config, what: str | None = None) -> Path:
    """`tunings/<run>-<model>-<method>`, or `what` in the method's place; of the model's path or hub name only the last
    part, made safe for a file."""
    model = config.model if config.model in TINIES else Path(config.model).resolve().name
    parts = [run.name, model, what or config.method, *([config.objective] if config.has_head else [])]
    return Path("tunings") / "-".join(map(_safe, parts))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "model"
