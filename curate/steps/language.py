"""language: rows that are not in the languages wanted, told by the scripts of their letters."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts
from curate.steps.quality import whole_text

#: The letters of each script (polars' regex). Han alone is Chinese; beside kana it is Japanese.
SCRIPTS = {
    "han": r"\p{Han}",
    "kana": r"[\p{Hiragana}\p{Katakana}]",
    "hangul": r"\p{Hangul}",
    "latin": r"\p{Latin}",
    "cyrillic": r"\p{Cyrillic}",
    "letter": r"\p{L}",
    # What no Japanese is written with: a question about a Japanese word is Chinese.
    "chinese": "[吗嗎么麼这们們呢吧啊哪怎谁说请问译语什]",
}
#: A Han character, a kana or a Hangul syllable says as much as some four letters of an alphabet.
LETTERS = 4
#: So much kana makes Han characters Japanese: particles and endings are a third of any Japanese sentence, while
#: Chinese text has a の or a brand's name at most.
KANA = 0.2


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keep: list[Literal["zh", "ja", "ko", "latin", "cyrillic", "other"]] = Field(
        default=["zh"], min_length=1, description="languages to keep, as far as scripts tell them apart; default: zh"
    )


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Reject rows in another language than those of `keep`, the record's texts taken together.

    Told by script alone: Traditional and Simplified are one language, English and French are both `latin`, and
    Japanese without kana passes for Chinese. A row without letters (digits or emoji only) stays.
    """
    texts = rows.select("rid", text=whole_text(context.task))
    if "zh" in options.keep:  # Han characters alone are Chinese, and most texts have no other letters
        texts = texts.filter(pl.col("text").str.contains(r"[\p{L}&&[^\p{Han}]]"))
    told = texts.select("rid", language=language(pl.col("text")))
    wrong = told.filter(~pl.col("language").is_in(options.keep) & pl.col("language").is_not_null())
    return Outcome(rows, verdicts(wrong, reason=pl.lit("lang_") + pl.col("language")))


def language(text: pl.Expr) -> pl.Expr:
    """zh, ja, ko, latin, cyrillic or other: the one whose letters say most; null without letters."""
    n = {name: text.str.count_matches(pattern).cast(pl.Int64) for name, pattern in SCRIPTS.items()}
    rest = n["letter"] - n["han"] - n["kana"] - n["hangul"] - n["latin"] - n["cyrillic"]
    japanese = (n["kana"] > KANA * (n["han"] + n["kana"])) & (n["chinese"] == 0)
    east = n["han"] + n["kana"]
    weights = [LETTERS * east, LETTERS * n["hangul"], n["latin"], n["cyrillic"], rest]
    most = pl.max_horizontal(weights)
    eastern = pl.when(japanese).then(pl.lit("ja")).otherwise(pl.lit("zh"))
    named = (eastern, pl.lit("ko"), pl.lit("latin"), pl.lit("cyrillic"), pl.lit("other"))
    # Of equals the first: Chinese words beside as much English is Chinese text.
    told = pl.when(most <= 0).then(None)
    for weight, name in zip(weights, named, strict=True):
        told = told.when(weight == most).then(name)
    return told.otherwise(None)
