"""The order of a tuning, from a run folder to a measured model.

`tune` is the whole of it, to be read from top to bottom: settle what is to be done, load, tokenise and plan; evaluate
the untuned model; train; evaluate the tuned one; report. Nothing is written before the plan stands, and `local.json`
says when all is there that a report needs, so that a tuning cut off anywhere goes on with `resume`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jingtiao.memory import parse_memory
from tune.config import Config, continued, default_out, resolve
from tune.errors import UserError
from tune.folder import begin, check_place, open_tuning, write_local
from tune.lock import check_hashes, hashes_of, read_lock, write_lock
from tune.runs import MANIFEST, Run, open_run

if TYPE_CHECKING:
    from tune.data import Tokens
    from tune.loop import Result
    from tune.plan import Plan
    from tune.results import Evaluation

#: The folder of tokenised splits, beside the tunings that share it.
CACHE = ".tokens"

Report = Callable[[str], Any]


@dataclass
class Work:
    """All that training needs: the model with its trained parameters, what it learns from, and how."""

    run: Run
    config: Config
    model: Any
    tokenizer: Any
    prompter: Any
    tokens: dict[str, Tokens]
    plan: Plan
    hashes: dict[str, str]


def tune(
    path: Path,
    asked: dict[str, Any],
    *,
    out: Path | None = None,
    memory: str | None = None,
    resume: bool = False,
    force: bool = False,
    tensorboard: bool = False,
    stream: TextIO,
    progress: Report = lambda text: None,
) -> dict[str, Any]:
    """Tune on the run at `path` and return what came of it: path, plan, training, eval, notes.

    `asked` holds the settings as `config.resolve` takes them. `stream` gets lines for people, `progress` what is going
    on at the moment ("" when another display begins). Raises UserError for anything that is wrong with the input.
    """
    from tune.export import serving
    from tune.loop import FREE
    from tune.report import print_summary, report
    from tune.results import read_eval, read_evaluation, write_evaluation

    started = time.perf_counter()
    notes, settled = _Notes(stream), list[str]()
    run = open_run(path)
    config = resolve(run, notes=settled, **asked)
    limit = parse_memory(memory) if memory is not None else None
    if tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard: TensorBoard isn't installed; pip install tensorboard, or leave it out")
    out = out or default_out(run, config)
    check_place(out, resume=resume, force=force)
    lock = read_lock(out) if resume else None
    if lock is not None:
        config = continued(config, lock.config, out, FREE, **asked)
    notes += settled

    work = prepare(run, config, out.parent / CACHE, limit, notes, progress)
    config = work.config
    show_plan(work, stream)
    if lock is not None:
        check_hashes(out, lock.hashes, work.hashes)
    splits = _evaluated_splits(run, config, notes)
    if lock is None:
        begin(out)
    write_local(out, run, finished=False)
    write_lock(config, out, work.hashes)
    work.plan.write(out)

    if config.eval == "both" and splits and not (resume and read_evaluation(out, "base")):
        progress("evaluating the untuned model")
        notes += write_evaluation(out, base=untuned(work, splits, progress))

    training = _trained(work, out, splits, resume, tensorboard, progress)

    if config.eval != "none" and splits:
        progress("evaluating the tuned model")
        notes += write_evaluation(out, tuned=evaluated(work, splits, progress))
    facts = {"training": asdict(training) if training else None, "seconds": round(time.perf_counter() - started, 1)}
    write_local(out, run, finished=True, **facts)
    progress("reporting")
    notes += report(out)
    progress("")
    if config.eval != "none" and splits:
        print_summary(out, file=stream)
    print(f"tuning: {out}", "serve it with", *serving(out, config, work.tokenizer), sep="\n  ", file=stream)
    found = read_eval(out) if config.eval != "none" and splits else {}
    return {"path": str(out), "plan": asdict(work.plan), **facts, "eval": found, "notes": list(notes)}


def _trained(
    work: Work, out: Path, splits: list[str], resume: bool, tensorboard: bool, progress: Report
) -> Result | None:
    """Train the model and save it; where that was done before it was cut off, load it (and return None)."""
    from tune.evaluate import write_samples
    from tune.export import load_tuned
    from tune.loop import train
    from tune.methods import METHODS
    from tune.progress import Progress

    method, valid = METHODS[work.config.method], work.tokens.get("validation")
    if (out / method.folder).exists():
        work.model = None  # the memory of the one before the other is loaded
        work.model = load_tuned(out).model
        return None
    board = out / "tensorboard" if tensorboard else None
    progress("")
    with Progress(board=board) as bar, compiled(work.model, work.plan):

        def report(event: dict[str, Any]) -> None:
            bar(event)
            if event["kind"] == "checkpoint" and splits:
                write_samples(work.model, work.prompter, work.run, work.config, out, event["step"], splits[0])

        train_tokens = work.tokens["train"]
        result = train(work.model, train_tokens, valid, work.config, out, work.plan, resume=resume, report=report)
    progress("saving")
    save(work.model, work.tokenizer, method, out / method.folder)
    return result


def prepare(
    run: Run, config: Config, cache: Path, memory: int | None, notes: list[str], progress: Report, timing: bool = True
) -> Work:
    """Load the model, tokenise the run's splits, plan, and prove that packed samples don't see each other.

    Raises UserError where one of these fails. Writes nothing but tokens, into `cache`.
    """
    import torch

    from tune.data import tokenise
    from tune.device import Device
    from tune.memory import Shape
    from tune.methods import METHODS
    from tune.model import check_method, load, probe
    from tune.objectives import cut_at_samples, unwrapped
    from tune.plan import make_plan
    from tune.prompt import make_prompter
    from tune.virtual import virtual_of

    if "train" not in run.splits:
        raise UserError(f"{run.path}: the run has no train split, so there is nothing to learn from")
    progress(f"loading {config.model}")
    check_method(config)
    loaded = load(config, run)
    model, tokenizer = loaded.model, loaded.tokenizer
    prompter = make_prompter(tokenizer, model.config, config.system, getattr(model, "generation_config", None))
    notes += [*loaded.notes, *prompter.notes]
    tokens = {}
    for split in run.splits:
        progress(f"tokenising {split}")
        tokens[split] = tokenise(run, split, prompter, config, cache)
    hashes = hashes_of(run, prompter, model)

    progress("planning")
    torch.manual_seed(config.seed)  # adapters begin at random
    model = METHODS[config.method].prepare(model, config, tokenizer)
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
    device = Device.of(loaded.device, unwrapped(model).dtype)
    plan = make_plan(run.name, tokens, shape, config, device, memory=memory, attention=rows.kind)
    probe(model, tokens["train"], plan.pack)
    if plan.checkpointing:
        unwrapped(model).gradient_checkpointing_enable({"use_reentrant": False})
    if timing:
        plan = timed(model, tokens["train"], plan, config)
    chosen = {"pack": plan.pack, "checkpointing": _switch(plan.checkpointing), "compile": _switch(plan.compile)}
    return Work(run, config.model_copy(update=chosen), model, tokenizer, prompter, tokens, plan, hashes)


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

    from tune.objectives import sft_loss, unwrapped
    from tune.pack import build_pack
    from tune.plan import timed as with_seconds
    from tune.timing import probe

    row = build_pack(train, first_row(train, plan, config), plan.pack).to(unwrapped(model).device)

    def run_row() -> None:
        loss = sft_loss(model, row)
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
    from tune.objectives import unwrapped

    layers = unwrapped(model).get_decoder().layers
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


def _evaluated_splits(run: Run, config: Config, notes: list[str]) -> list[str]:
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


def save(model: Any, tokenizer: Any, method: Any, folder: Path) -> None:
    """The adapter or model, tokenizer and chat template beside it: whole, or not there at all."""
    import shutil

    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    method.save(model, aside)
    tokenizer.save_pretrained(aside)
    aside.rename(folder)


def plan_only(
    path: Path,
    asked: dict[str, Any],
    *,
    memory: str | None = None,
    dump: Path | None = None,
    stream: TextIO,
    progress: Report = lambda text: None,
) -> dict[str, Any]:
    """`tune plan`: all that `tune` does before it trains; with `dump`, every sample's tokens and labels as well."""
    from tune.data import dump as write_tokens

    notes, settled = _Notes(stream), list[str]()
    run = open_run(path)
    config = resolve(run, notes=settled, **asked)
    limit = parse_memory(memory) if memory is not None else None
    notes += settled
    cache = default_out(run, config).parent / CACHE
    work = prepare(run, config, cache, limit, notes, progress)
    if dump is not None:
        progress(f"writing {dump}")
        write_tokens(run, list(run.splits), work.prompter, config, cache, dump)
    progress("")
    show_plan(work, stream)
    return {"plan": asdict(work.plan), "notes": list(notes)}


def evaluate_again(tuning: Path, *, stream: TextIO, progress: Report = lambda text: None) -> dict[str, Any]:
    """`tune eval`: evaluate a finished tuning once more, its base model first, and report."""
    from tune.export import load_tuned
    from tune.report import print_summary, report
    from tune.results import read_eval, write_evaluation

    notes = _Notes(stream)
    found = open_tuning(tuning)
    config = found.config.model_copy(update={"eval": "both"})
    splits = _evaluated_splits(found.run, config, notes)
    if not splits:
        raise UserError(f"{found.run.path}: the run has no validation or test rows with answers to evaluate")
    work = prepare(found.run, config, tuning.parent / CACHE, None, notes, progress, timing=False)
    check_hashes(tuning, found.hashes, work.hashes)
    base = untuned(work, splits, progress)
    work.model = None
    work.model = load_tuned(tuning).model
    notes += write_evaluation(tuning, base=base, tuned=evaluated(work, splits, progress))
    notes += report(tuning)
    progress("")
    print_summary(tuning, file=stream)
    return {"path": str(tuning), "eval": read_eval(tuning), "notes": list(notes)}


class _Notes(list[str]):
    """Notes, each said when it is made, and said once."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def append(self, note: str) -> None:
        if note not in self:
            super().append(note)
            print(f"note: {note}", file=self._stream, flush=True)

    def __iadd__(self, notes: Any) -> _Notes:
        for note in notes:
            self.append(note)
        return self
