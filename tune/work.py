"""What a tuning works with: the model with its trained parameters, the run as tokens, the plan; and how it is had.

`prepare` is the way there, and all of it happens before anything is written; `evaluated` and `compiled` are what
training and its like then do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tune.config import Config
from tune.errors import UserError
from tune.lock import hashes_of
from tune.runs import MANIFEST, Run

if TYPE_CHECKING:
    from tune.data import Tokens
    from tune.model import Loaded
    from tune.plan import Plan
    from tune.results import Evaluation

Report = Callable[[str], Any]


@dataclass
class Base:
    """What no method decides: the untrained base model and the run as its tokens. hashes: of all that went into it."""

    run: Run
    model: Any
    tokenizer: Any
    prompter: Any
    tokens: dict[str, Tokens]
    hashes: dict[str, str]
    device: Any


@dataclass
class Work(Base):
    """All that training needs: the model with its trained parameters, what it learns from, and how."""

    config: Config
    plan: Plan


@dataclass
class Shared:
    """What several tunings on one run have in common, so that it is made once.

    cache: the folder of tokens. load: `tune.model.load`, or another that gives the same model. base: what the untuned
    model makes of the evaluated splits.
    """

    cache: Path
    load: Callable[[Config, Run], Loaded]
    base: Evaluation | None = None


def prepare(
    run: Run,
    config: Config,
    cache: Path,
    memory: int | None,
    notes: list[str],
    progress: Report,
    timing: bool = True,
    load: Callable[[Config, Run], Loaded] | None = None,
) -> Work:
    """Load the model, tokenise the run's splits, plan, and prove that packed samples don't see each other.

    Raises UserError where one of these fails. Writes nothing but tokens, into `cache`.
    """
    from tune.model import settle

    config = settle(config, run, notes)
    base = load_base(run, config, cache, notes, progress, load)
    progress("planning")
    return _planned(base, config, memory, timing)


def load_base(
    run: Run,
    config: Config,
    cache: Path,
    notes: list[str],
    progress: Report,
    load: Callable[[Config, Run], Loaded] | None = None,
) -> Base:
    """Load the model and tokenise the run's splits; writes nothing but tokens, into `cache`. The settings' objective
    is settled (`tune.model.settle`).

    Raises UserError for a run without a train split, a method that can't work with the model, and what is wrong with
    either.
    """
    from tune.data import tokenise
    from tune.model import check_method
    from tune.model import load as load_model
    from tune.reader import make_reader

    if "train" not in run.splits:
        raise UserError(f"{run.path}: the run has no train split, so there is nothing to learn from")
    progress(f"loading {config.model}")
    check_method(config, run)
    loaded = (load or load_model)(config, run)
    model, tokenizer = loaded.model, loaded.tokenizer
    own = getattr(model, "generation_config", None)
    prompter = make_reader(tokenizer, model.config, config, run.labels, own)
    notes += [*loaded.notes, *prompter.notes]
    tokens = {}
    for split in run.splits:
        progress(f"tokenising {split}")
        tokens[split] = tokenise(run, split, prompter, config, cache)
    return Base(run, model, tokenizer, prompter, tokens, hashes_of(run, prompter, model), loaded.device)


def _planned(base: Base, config: Config, memory: int | None, timing: bool) -> Work:
    """The base model made into one that the method trains, and the plan."""
    import torch

    from tune.device import Device
    from tune.memory import Shape
    from tune.methods import METHODS
    from tune.model import probe
    from tune.objectives import cut_at_samples, unwrapped
    from tune.plan import make_plan
    from tune.virtual import virtual_of

    tokens = base.tokens
    torch.manual_seed(config.seed)  # adapters begin at random
    model = METHODS[config.method].prepare(base.model, config, base.tokenizer)
    rows = cut_at_samples(model)
    if virtual := virtual_of(unwrapped(model)):
        tokens = {split: replace(part, virtual=virtual.places) for split, part in tokens.items()}
    # Two weights of 4 bits share a byte.
    total = sum(p.numel() * (2 if type(p).__name__ == "Params4bit" else 1) for p in model.parameters())
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    shape = Shape.of(
        unwrapped(model).config, total=total, trainable=trained, held=held if METHODS[config.method].needs else None
    )
    device = Device.of(base.device, unwrapped(model).dtype)
    plan = make_plan(base.run.name, tokens, shape, config, device, memory=memory, attention=rows.kind)
    probe(model, tokens["train"], plan.pack)
    if plan.checkpointing:
        unwrapped(model).gradient_checkpointing_enable({"use_reentrant": False})
    if timing:
        plan = timed(model, tokens["train"], plan, config)
    chosen = {"pack": plan.pack, "checkpointing": _switch(plan.checkpointing), "compile": _switch(plan.compile)}
    config = config.model_copy(update=chosen)
    return Work(base.run, model, base.tokenizer, base.prompter, tokens, base.hashes, base.device, config, plan)


def show_plan(work: Work, stream: TextIO) -> None:
    """The plan, and the first row that will be learnt."""
    from tune.marked import print_pack
    from tune.plan_table import print_plan

    print_plan(work.plan, file=stream)
    print_pack(
        work.tokens["train"],
        first_row(work.tokens["train"], work.plan, work.config),
        work.plan.pack,
        work.tokenizer,
        file=stream,
    )


def first_row(train: Tokens, plan: Plan, config: Config) -> Any:
    """The numbers of the samples in the first row of the first step."""
    from tune.pack import fill_rows, step_samples

    return fill_rows(train.places, step_samples(len(train), config.batch, config.seed, 0)[0], plan.pack)[0]


def _switch(on: bool) -> str:
    return "on" if on else "off"


def timed(model: Any, train: Tokens, plan: Plan, config: Config) -> Plan:
    """The plan with the seconds that training will take, after forward and backward of one real row, a few times."""
    import torch

    from tune.objectives import loss_of, unwrapped
    from tune.pack import build_pack
    from tune.plan import timed as with_seconds
    from tune.timing import probe

    loss_fn = loss_of(config, train)
    row = build_pack(train, first_row(train, plan, config), plan.pack).to(unwrapped(model).device)

    def run_row() -> None:
        loss = loss_fn(model, row)
        loss.backward()
        float(loss.detach())  # waits for the device
        for parameter in model.parameters():
            parameter.grad = None

    model.train()
    try:
        with compiled(model, plan):
            return with_seconds(plan, probe(run_row, rows=3 if row.ids_T.is_cuda else 1))
    except torch.OutOfMemoryError:
        return plan  # training splits such rows; it isn't known into how many
    except Exception as error:
        if not plan.compile or not _is_compilers(error):
            raise
        why = f"torch can't compile this model's layers ({str(error).strip().splitlines()[0]})"
        if config.compile == "on":
            raise UserError(f"compile=on: {why}; leave it to the plan, or --set compile=off") from None
        return timed(model, train, replace(plan, compile=False, compile_why=why), config)


def _is_compilers(error: Exception) -> bool:
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)


@contextmanager
def compiled(model: Any, plan: Plan) -> Iterator[None]:
    """Each layer compiled, where the plan says so; plain again afterwards: the shapes of generation keep changing."""
    from tune.encoders import layers_of
    from tune.objectives import unwrapped

    layers = layers_of(unwrapped(model))
    for layer in layers if plan.compile else ():
        layer.compile(dynamic=False, fullgraph=True)
    try:
        yield
    finally:
        for layer in layers if plan.compile else ():
            layer._compiled_call_impl = None


def evaluated(work: Work, splits: list[str], progress: Report) -> Evaluation:
    """What the model, as it stands, makes of the splits."""
    from tune.evaluate import evaluate

    work.model.eval()
    return evaluate(
        work.model,
        work.prompter,
        work.run,
        splits,
        work.config,
        work.tokens,
        row_tokens=work.plan.pack,
        report=progress,
    )


def untuned(work: Work, splits: list[str], progress: Report) -> Evaluation:
    """What the model makes of the splits before it is trained: virtual tokens are left out, all else that methods add
    changes nothing yet."""
    from tune.objectives import unwrapped
    from tune.virtual import without_virtual

    with without_virtual(unwrapped(work.model)):
        return evaluated(work, splits, progress)


def evaluated_bare(base: Base, config: Config, splits: list[str], progress: Report) -> Evaluation:
    """What the base model makes of the splits before any method touched it, in rows that no plan decides."""
    from tune.evaluate import evaluate
    from tune.plan import SIZES
    from tune.survey import choose_row_tokens

    longest = max(int(part.places.max(initial=0)) for part in base.tokens.values())
    row_tokens = choose_row_tokens(base.tokens["train"].places, config.batch, SIZES[base.device.type][0][-1], longest)
    base.model.eval()
    work = (base.prompter, base.run, splits, config, base.tokens)
    return evaluate(base.model, *work, row_tokens=row_tokens, report=progress)


def evaluated_splits(run: Run, config: Config, notes: list[str]) -> list[str]:
    from tune.metrics import check_metrics
    from tune.questions import labelled_splits

    if config.eval == "none":
        return []
    for part in run.parts:
        try:
            check_metrics(part.metrics, part.task, part.labels)
        except UserError as error:
            place = f"mixture.corpora.{part.corpus}.metrics" if part.corpus else "metrics"
            raise UserError(f"{run.path / MANIFEST}: {place}: {error}") from None
    splits, why_not = labelled_splits(run)
    notes += why_not
    if not splits:
        notes += ["nothing is evaluated: the run has no validation or test rows with answers"]
    return splits


def failure(name: str, work: Callable[[], Any]) -> str | None:
    """Do one of several tunings; returns why it failed, if it did for a reason that needn't stop the others."""
    import torch

    try:
        work()
    except UserError as error:
        return " ".join(error.messages)
    except torch.OutOfMemoryError:
        return "the memory of the device ran out"
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"in the middle of {name}; the same command goes on from there") from None
    return None


class Notes(list[str]):
    """Notes, each said when it is made, and said once."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def append(self, note: str) -> None:
        if note not in self:
            super().append(note)
            print(f"note: {note}", file=self._stream, flush=True)

    def __iadd__(self, notes: Any) -> Notes:
        for note in notes:
            self.append(note)
        return self
