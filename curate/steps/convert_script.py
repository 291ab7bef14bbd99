"""convert_script: Traditional characters to Simplified ones by OpenCC, answers with the context they stand in."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from operator import ne
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome
from curate.steps.locate_answer import locate
from curate.steps.normalise import map_texts
from curate.text.distinct import change_texts
from curate.types import UserError


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    # No tw2sp: it puts in other words (滑鼠 → 鼠标), longer or shorter ones, and answers would lose their place.
    config: Literal["tw2s", "t2s", "off"] = Field(
        description="OpenCC's configuration: tw2s for text from Taiwan (著 → 着), t2s for other Traditional text"
    )


def opencc_version() -> str:
    """The version of OpenCC that is installed; a UserError where there is none."""
    try:
        # Asked by its name on PyPI: another package is imported as `opencc` too, with other tables.
        return version("opencc")
    except PackageNotFoundError:
        raise UserError(
            'convert_script: needs OpenCC, which is not installed: pip install "opencc>=1.4", '
            "or leave the text as it is with --set convert_script.config=off"
        ) from None


@lru_cache(maxsize=2)
def _converter(config: str) -> Callable[[str], str]:
    opencc_version()
    import opencc

    return opencc.OpenCC(config).convert


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Convert every text of the record, once: a second time, OpenCC takes 显著 for Traditional and makes it 显着.

    How a character reads may depend on its neighbours (乾隆, but 晒干), so an answer is taken from its place in the
    converted context; one that has no place there is converted alone, and locate_answer says what becomes of it.
    """
    if options.config == "off":
        return Outcome(rows)
    convert = _converter(options.config)
    counts: dict[str, int] = {}

    def change(text: str, found: dict[str, int]) -> str:
        changed = convert(text)
        if changed != text:
            found["characters_converted"] = sum(a != b for a, b in zip_longest(text, changed))
        return changed

    fields = [name for name in ("title", *context.task.text, "answers") if name in context.task.fields]
    converted = rows.with_columns(
        map_texts(rows[name], lambda texts: pl.Series(change_texts(texts.to_list(), change, counts), dtype=pl.String))
        for name in fields
    )
    if "answers" in fields:
        converted = converted.with_columns(_answers_in_context(rows, converted, counts))
    return Outcome(converted, counts=counts)


def _answers_in_context(before: pl.DataFrame, after: pl.DataFrame, counts: dict[str, int]) -> pl.Series:
    """The answers as their places in the converted context read."""
    given = (before[name].to_list() for name in ("context", "answers", "answer_starts"))
    made = (after[name].to_list() for name in ("context", "answers"))
    answers: list[list[str]] = []
    for old, asked, starts, new, alone in zip(*given, *made, strict=True):
        told = [*(starts or []), *[-1] * len(asked)][: len(asked)]
        # Characters are converted one for one; a context that isn't gives its answers no place.
        aligned = old is not None and len(old) == len(new)
        places = [locate(old or "", one, at) if aligned else -1 for one, at in zip(asked, told, strict=True)]
        found = [
            new[place : place + len(one)] if place >= 0 else other
            for place, one, other in zip(places, asked, alone, strict=True)
        ]
        if differ := sum(map(ne, found, alone)):
            counts["answers_as_in_context"] = counts.get("answers_as_in_context", 0) + differ
        answers.append(found)
    return pl.Series("answers", answers, dtype=pl.List(pl.String))
