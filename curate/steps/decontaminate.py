"""decontaminate: training rows that also stand in benchmarks outside the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts
from curate.steps.leak_check import apart, text_fields, thresholds
from curate.steps.near_dedup import compared, number_or
from curate.tasks import TASKS, Task
from curate.text.keys import group_hash, key_column, key_frame

if TYPE_CHECKING:
    from curate.known import Known


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    against: Annotated[list[str], BeforeValidator(_one_or_many, json_schema_input_type=str | list[str])] = Field(
        min_length=1,
        description="benchmark files: .txt, a text a line, or rows (.jsonl, .json, .csv, .tsv, .parquet)",
    )
    key: list[str] = Field(default=[], description="the fields that are compared; default: as in leak_check")
    columns: dict[str, str] = Field(
        default={}, description="{field: column} where the files' columns have other names than corpora use"
    )
    near: Annotated[float | Literal["off"], number_or("off", 0.5, 1)] = Field(
        default=0.9, description="benchmark texts of up to 200 characters: least similarity, 0.5 to 1, or off"
    )
    coverage: Annotated[float | Literal["off"], number_or("off", 0.1, 1)] = Field(
        default=0.5, description="longer ones: least share of their 13-grams that stand in one text, 0.1 to 1, or off"
    )


REASONS = ("in_benchmark", "near_benchmark", "covers_benchmark")


@dataclass(frozen=True)
class Benchmarks:
    """`files`: `group`, `file` of every text of the benchmarks; `groups` and `known` are the texts by their places."""

    files: pl.DataFrame
    groups: pl.Series
    known: Known


def benchmarks(options: Options, task: Task) -> Benchmarks:
    """The texts of the files, read once. Raises UserError for what is wrong with a file."""
    stamps = []
    for path in options.against:
        try:
            stat = Path(path).stat()
        except OSError:
            stamps.append((path, 0, 0))  # reading it will say what is wrong
        else:
            stamps.append((path, stat.st_mtime_ns, stat.st_size))
    return _read(options.model_dump_json(), tuple(stamps), task.name, task.extra)


@lru_cache(maxsize=2)
def _read(
    options_json: str, stamps: tuple[tuple[str, int, int], ...], name: str, extra: tuple[str, ...]
) -> Benchmarks:
    from curate.benchmark import read_benchmark
    from curate.known import Known

    options, task = Options.model_validate_json(options_json), TASKS[name].extended(extra)
    fields = options.key or list(task.leak_key)
    tables = []
    for path, *_ in stamps:
        rows = read_benchmark(path, task, fields, options.columns)
        rows = _keyed(rows.with_columns(rid=pl.int_range(len(rows), dtype=pl.UInt64)), options, task)
        tables.append(rows.with_columns(file=pl.lit(Path(path).name)))
    texts = pl.concat(tables)
    # Which file a text was read from first must not show.
    once = texts.unique("group").sort("group")
    known = Known(once["text"], once["apart"].to_numpy(), *thresholds(options))
    return Benchmarks(texts.select("group", "file").unique().sort("group", "file"), once["group"], known)


def _keyed(rows: pl.DataFrame, options: Options, task: Task) -> pl.DataFrame:
    """`rid`, `group` (what is compared, as one u64), `apart` (what must be the same) and `text` of the rows."""
    fields, texts = options.key or list(task.leak_key), text_fields(options.key, task)
    keys = key_frame(rows, task.fields, {key_column(field, "key") for field in fields}, frozenset(texts))
    return keys.select(
        "rid",
        group=group_hash(tuple(fields), "key", task.symmetric),
        apart=apart(options.key, task),
        text=compared(keys, task, "count", texts),
    )


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Reject rows whose text is known from a benchmark, and note for each file how many rows it was met in.

    `in_benchmark`: the same comparison key; `near_benchmark`: nearly the same text; `covers_benchmark`: a text that
    holds much of a long one. By the rules of leak_check; the score is the similarity or the coverage.
    """
    known = benchmarks(options, context.task)
    keyed = _keyed(rows, options, context.task)
    texts = keyed.filter(pl.col("group").is_first_distinct() & (pl.col("text") != ""))
    same = texts.join(known.files, on="group", how="semi").select("group")
    met = [same.select("group", known="group", score=pl.lit(None, pl.Float64), reason=pl.lit("in_benchmark"))]
    found = known.known.find(texts["text"], texts["apart"].to_numpy())
    reason = pl.when("covers").then(pl.lit("covers_benchmark")).otherwise(pl.lit("near_benchmark"))
    near = pl.DataFrame(
        {
            "group": texts["group"].gather(found.text),
            "known": known.groups.gather(found.known),
            "covers": pl.Series(found.covers, dtype=pl.Boolean),
            "score": pl.Series(found.score, dtype=pl.Float64),
            "leak": pl.Series(found.leak, dtype=pl.Boolean),
        }
    ).filter(pl.col("leak") & (pl.col("group") != pl.col("known")))
    met.append(near.select("group", "known", "score", reason=reason))
    meetings = pl.concat(met)
    # The same text says more than one nearly the same, and that more than a covered one; of these the likest.
    order = pl.col("reason").replace_strict({reason: k for k, reason in enumerate(REASONS)})
    first = meetings.sort("group", order, -pl.col("score"))
    said = keyed.join(first.unique("group", keep="first", maintain_order=True), on="group", maintain_order="left")
    files = meetings.join(known.files.rename({"group": "known"}), on="known").select("group", "file").unique()
    noted = keyed.join(files.sort("group", "file"), on="group", maintain_order="left_right")
    return Outcome(
        rows,
        pl.concat(
            [
                verdicts(said, reason=pl.col("reason")).with_columns(score=said["score"]),
                verdicts(noted, "note", pl.col("file")),
            ]
        ),
    )


def met(fields: dict[str, Any], options: Options, task: Task) -> tuple[str, int, dict[str, Any]] | None:
    """Which text of the benchmarks a record is rejected for: the file's name, the text's place in it, its fields."""
    from curate.benchmark import read_benchmark

    known = benchmarks(options, task)
    keyed = _keyed(pl.DataFrame([{"rid": 0, **fields}], schema={"rid": pl.UInt64, **task.schema()}), options, task)
    found = known.known.find(keyed["text"], keyed["apart"].to_numpy())
    leaks = sorted(
        (bool(found.covers[i]), -float(found.score[i]), int(found.known[i])) for i in found.leak.nonzero()[0]
    )
    groups = [keyed["group"][0], *(known.groups[number] for *_, number in leaks)]
    wanted = next((group for group in groups if group in known.files["group"]), None)
    for path in options.against:
        texts = read_benchmark(path, task, options.key or list(task.leak_key), options.columns)
        numbered = texts.with_columns(rid=pl.int_range(len(texts), dtype=pl.UInt64))
        same = (_keyed(numbered, options, task)["group"] == wanted).arg_true()
        if len(same):
            return Path(path).name, same[0], texts.row(same[0], named=True)
    return None
