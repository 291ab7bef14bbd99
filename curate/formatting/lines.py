"""Samples as JSON lines, each written once: text between quotes, escaped where it must be, and nothing in between.

`render.samples` says the same as a frame, and is the reference this is tested against; a general JSON writer
spends three times as long on a million rows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from curate.formatting.render import CLUSTER_SIZE, references, render, unlabelled, with_variables
from curate.formatting.templates import PARTS, Template, TemplateSet
from curate.lazy import pl
from curate.steps import Context
from curate.tasks import Task
from curate.text.distinct import put
from curate.types import RID_BITS

if TYPE_CHECKING:
    Piece: TypeAlias = str | pl.Expr

#: What JSON does not allow between quotes as it is.
_SPECIAL = {chr(code): json.dumps(chr(code))[1:-1] for code in (*range(0x20), ord('"'), ord("\\"))}


def escape(texts: pl.Series) -> pl.Series:
    """Each text as it stands between the quotes of a JSON string; null becomes empty."""
    texts = texts.fill_null("") if texts.null_count() else texts
    special = texts.str.contains_any(list(_SPECIAL))
    if not special.any():
        return texts
    where = special.arg_true()
    escaped = texts.gather(where).str.replace_many(list(_SPECIAL), list(_SPECIAL.values()))
    return put(texts, where, escaped)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def sample_lines(
    rows: pl.DataFrame,
    templates: TemplateSet,
    context: Context,
    evaluation: bool,
    words: list[str],
    source_ids: bool,
) -> pl.DataFrame:
    """`rid`, `template`, `line` (the sample as JSON) and `rendered`, in the order of the rows.

    `rows` has the record's fields, `order`, `id`, `flags` and the columns in `words`. `rendered` is false where a
    template of more than plain names failed; such a row has no line worth writing.
    """
    eligible = templates.eligible(evaluation)
    full = with_variables(rows, context).with_columns(_which=pl.col("order") % len(eligible)).with_row_index("_row")
    needed = _needed(eligible, context, words, source_ids)
    safe = _safe(context)
    # The ids of a file differ in the row's number only.
    names = full.filter((pl.col("rid") // (1 << RID_BITS)).is_first_distinct())["id"]
    safe |= {"id"} if all(_quoted(name) == name for name in names) else set()
    counted = [CLUSTER_SIZE] if CLUSTER_SIZE in rows.columns else []
    escaped = full.select("_row", "rid", "_which", *counted, *_raw(context)).with_columns(
        full[name] if name in safe else escape(full[name]) for name in needed
    )
    tail = _meta(context, words, source_ids, bool(counted))
    done = []
    groups = escaped.partition_by("_which", as_dict=True)
    for which, template in enumerate(eligible):
        if (group := groups.get((which,))) is not None:
            rendered = None if _is_plain(template) else full.filter(pl.col("_which") == which)
            done.append(_lines(group, rendered, template, context, tail))
    if not done:
        return pl.DataFrame(
            schema={"rid": pl.UInt64, "template": pl.String, "line": pl.String, "rendered": pl.Boolean}
        )
    return pl.concat(done).sort("_row").drop("_row")


def _needed(eligible: tuple[Template, ...], context: Context, words: list[str], source_ids: bool) -> list[str]:
    """The string columns that stand in a line."""
    used = {name for t in eligible if _is_plain(t) for part in PARTS for name, fixed in t.pieces(part) if not fixed}
    used |= {
        "id",
        "flags",
        *words,
        *(["source_id"] if source_ids else []),
        *(["label"] if context.task.has_labels else []),
    }
    used |= {name for name, kind in _extra_kinds(context.task) if kind == "str"}
    return sorted(used | {"a", "b"} if context.task.name == "pair" else used)


def _safe(context: Context) -> set[str]:
    """Columns made of the recipe's words alone, where none of those needs escaping: no need to look at each row."""
    if not context.task.has_labels:  # elsewhere the answer is the corpus's own text
        return {"flags"}
    told = "".join([*context.labels, *context.labels.values()])
    return {"flags", *(["label", "answer", "choices", "options"] if _quoted(told) == told else [])}


def _raw(context: Context) -> list[pl.Expr]:
    """What is no string: whether there is an answer, and the lists, as JSON."""
    exprs = [unlabelled(context.task).alias("_unlabelled")]
    listed = references(context.task)
    if listed is not None:
        exprs.append(_json(listed).alias("_references"))
    if context.task.name == "dialogue":
        exprs.append(_json(pl.col("history")).alias("_history"))
    listed_extra = [name for name, kind in _extra_kinds(context.task) if kind.startswith("list")]
    exprs += [_json(pl.col(name).fill_null([])).alias(f"_{name}") for name in listed_extra]
    return exprs


def _extra_kinds(task: Task) -> list[tuple[str, str]]:
    """The extra fields with their types, in the order of the recipe."""
    return [(name, task.fields[name]) for name in task.extra]


def _json(column: pl.Expr) -> pl.Expr:
    """A list as JSON: polars encodes structs only, so the list is wrapped, and `{"x":` … `}` cut off."""
    return pl.struct(x=column).struct.json_encode().str.slice(5).str.head(-1)


def _is_plain(template: Template) -> bool:
    return all(template.expression(part) is not None for part in PARTS)


def _lines(
    group: pl.DataFrame, full: pl.DataFrame | None, template: Template, context: Context, tail: list[Piece]
) -> pl.DataFrame:
    """The lines of one template. `full` has the unescaped variables, for a template that jinja2 must render."""
    parts = ["instruction", "input", "output", *(["system"] if context.task.name == "dialogue" else [])]
    rendered = pl.lit(True)
    if full is None:
        pieces: dict[str, list[Piece]] = {part: _pieces(template, part) for part in parts}
    else:
        texts = render(full.drop("_which", "_row"), TemplateSet((template,), ""), context, False)
        group = group.with_columns(escape(texts[part]).alias(f"_{part}") for part in parts)
        group = group.with_columns(texts["rendered"].alias("_rendered"))
        rendered = pl.col("_rendered")
        pieces = {part: [pl.col(f"_{part}")] for part in parts}
    output = pl.when("_unlabelled").then(pl.lit("")).otherwise(_joined(pieces["output"]))
    head = ['{"instruction":"', *pieces["instruction"], '","input":"', *pieces["input"]]
    head += ['","output":"', output, '"']
    if context.task.name == "dialogue":
        head += [',"history":', pl.col("_history"), ',"system":"', *pieces["system"], '"']
    middle = f'","task":"{context.task.name}","template":"{_quoted(template.id)}"'
    line = _joined([*head, ',"meta":{"id":"', pl.col("id"), middle, *tail])
    return group.select("_row", "rid", template=pl.lit(template.id), line=line, rendered=rendered)


def _joined(pieces: list[Piece]) -> pl.Expr:
    """One string of texts and columns; neighbouring texts are joined beforehand, once and not in every row."""
    exprs: list[pl.Expr] = []
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        else:
            exprs += [pl.lit(text), piece]
            text = ""
    return pl.concat_str([*exprs, pl.lit(text)])


def _pieces(template: Template, part: str) -> list[Piece]:
    """The part's text and variables, escaped, as they stand in the line."""
    return [_quoted(piece) if fixed else pl.col(piece) for piece, fixed in template.pieces(part)]


def _meta(context: Context, words: list[str], source_ids: bool, counted: bool) -> list[Piece]:
    """The rest of a line after the template's id."""
    task = context.task
    tail: list[Piece] = []
    if task.has_labels:
        tail += [',"label":"', pl.col("label").fill_null(""), '"']
    tail += [',"labelled":', pl.when("_unlabelled").then(pl.lit("false")).otherwise(pl.lit("true"))]
    tail += [',"flags":"', pl.col("flags"), '"']
    if counted:
        tail += [',"cluster_size":', pl.col(CLUSTER_SIZE).cast(pl.String)]
    if task.name == "pair":
        tail += [',"fields":{"a":"', pl.col("a"), '","b":"', pl.col("b"), '"}']
    if references(task) is not None:
        tail.append(',"references":')
        tail.append(pl.when("_unlabelled").then(pl.lit("[]")).otherwise(pl.col("_references")))
    if source_ids:
        tail += [',"source_id":"', pl.col("source_id"), '"']
    for name, kind in _extra_kinds(task):
        tail += [f',"{name}":', pl.col(f"_{name}")] if kind.startswith("list") else [f',"{name}":"', pl.col(name), '"']
    for i, column in enumerate(words):
        opening = ',"words":{' if i == 0 else ","
        tail += [f'{opening}"{column.partition("|")[2]}":"', pl.col(column), '"']
    return [*tail, "}}}" if words else "}}"]
