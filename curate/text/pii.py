"""Personal details in texts and records: found, masked, and moved together in all fields of a record.

The rules are in `pii_rules`. They see a text in which full-width letters and digits are half-width, and in which
invisible characters and the spaces of text published character by character are left out; what they find is masked in
the text as it is. `find` looks at one text; `find_each` at many, and gives just what `find` gives for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

from curate.lazy import pl
from curate.text.pii_rules import RULES, Rule
from curate.text.width import CONTROL, ZERO_WIDTH

#: What stands in the text in place of a detail, by kind. No rule finds anything in these.
PLACEHOLDERS = {
    "mobile": "[手机号]",
    "landline": "[座机号]",
    "id_card": "[身份证号]",
    "bank_card": "[银行卡号]",
    "email": "[邮箱]",
    "qq": "[QQ号]",
    "wechat": "[微信号]",
    "ip": "[IP地址]",
    "url": "[网址]",
}
KINDS = tuple(PLACEHOLDERS)

#: (start, end, kind), in characters of the text as it is.
Span = tuple[int, int, str]

#: One character for one, so that places stay.
_FOLD = {code: code - 0xFEE0 for first, last in ("０９", "ＡＺ", "ａｚ") for code in range(ord(first), ord(last) + 1)}
_FOLD |= str.maketrans("＠．－＿＋：（）／＃‐‑‒–—\u3000\xa0", "@.-_+:()/#-----  ")
_UNSEEN = re.compile(f"[{CONTROL}{ZERO_WIDTH}]")
#: What is masked is a line's end to the rules: no number and no word reaches across it.
_TAKEN = "\n"
_MASKED = re.compile("|".join(map(re.escape, PLACEHOLDERS.values())))
#: Without these there is no detail.
_ANY = re.compile("[0-9@/:]|[A-Za-z]{2}|[零〇一二三四五六七八九幺]{11}")
#: Six characters or more, one space between each two.
_SPACED = re.compile(r'(?<![^\s"\[\]])[^\s"\[\]](?: [^\s"\[\]]){5,}(?![^\s"\[\]])')


def _seen(text: str) -> tuple[str, list[int] | None]:
    """The text for the rules, and where each of its characters stands in the text (None: at the same place)."""
    folded = _MASKED.sub(lambda found: _TAKEN * len(found[0]), text.translate(_FOLD))
    places: list[int] | None = None
    if _UNSEEN.search(folded):
        places = [i for i, char in enumerate(folded) if not _UNSEEN.match(char)]
        folded = "".join(folded[i] for i in places)
    spaces = {i for found in _SPACED.finditer(folded) for i in range(found.start() + 1, found.end(), 2)}
    if spaces:
        left = [i for i in range(len(folded)) if i not in spaces]
        places = left if places is None else [places[i] for i in left]
        folded = "".join(folded[i] for i in left)
    return folded, places


def find(text: str, known: Mapping[str, str] | None = None) -> list[Span]:
    """The details of a text in their order; no two overlap.

    `known` are details (as `detail` gives them) with their kinds, which count wherever they stand by themselves: a QQ
    number whose context names it is one in the answer too.
    """
    folded, places = _seen(text)
    spans: list[Span] = []
    # Once a detail is masked, what stood beside it may show: a masked text is looked at as it will be then.
    while _ANY.search(folded) and (more := _scan(folded, known or {})):
        spans += more
        folded = _taken(folded, more)
    return _as_it_is(spans, places)


def _scan(folded: str, known: Mapping[str, str]) -> list[Span]:
    spans: list[Span] = []
    there = set(folded)
    for rule in RULES:
        if not rule.needs.isdisjoint(there):
            _carry_out(rule, folded, spans)
    for value, kind in known.items():
        if value in folded:
            for found in re.finditer(rf"(?<![0-9A-Za-z]){re.escape(value)}(?![0-9A-Za-z])", folded):
                _take(spans, *found.span(), kind)
    return [span for span in spans if span[2]]


def _carry_out(rule: Rule, folded: str, spans: list[Span]) -> None:
    """Add to `spans` what the rule finds that no earlier one has taken."""
    for found in rule.pattern.finditer(folded):
        if rule.check is None or rule.check(found):
            _take(spans, *found.span("it"), rule.kind)


def _take(spans: list[Span], start: int, end: int, kind: str) -> None:
    if all(end <= first or last <= start for first, last, _ in spans):
        spans.append((start, end, kind))


def _taken(folded: str, spans: list[Span]) -> str:
    """The text with these spans as the rules see what is masked."""
    done, parts = 0, []
    for start, end, _ in sorted(spans):
        parts += [folded[done:start], _TAKEN * (end - start)]
        done = end
    return "".join([*parts, folded[done:]])


def _as_it_is(spans: list[Span], places: list[int] | None) -> list[Span]:
    """Spans of the text for the rules, in their order, as spans of the text as it is."""
    spans.sort()
    return spans if places is None else [(places[start], places[end - 1] + 1, kind) for start, end, kind in spans]


def find_each(texts: list[str]) -> list[list[Span]]:
    """`find` for each of the texts, rule by rule: polars tells which few texts a rule has to look at."""
    told = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).select(
        any=pl.col("text").str.contains(_ANY_FORM), otherwise=pl.col("text").str.contains(_OTHERWISE)
    )
    folded, places = list(texts), dict[int, list[int] | None]()
    for i in told.select(pl.col("any") & pl.col("otherwise")).to_series().arg_true().to_list():
        folded[i], places[i] = _seen(texts[i])
    spans: list[list[Span]] = [[] for _ in texts]
    left = told["any"].arg_true().to_list()
    while left:
        column = pl.Series([folded[i] for i in left], dtype=pl.String)
        looks = pl.DataFrame([column.alias("seen")]).select(
            pl.col("seen").str.contains(rule.loose).alias(str(k)) for k, rule in enumerate(RULES)
        )
        more: dict[int, list[Span]] = {}
        for rule, look in zip(RULES, looks, strict=True):
            for at in look.arg_true().to_list():
                _carry_out(rule, folded[left[at]], more.setdefault(left[at], []))
        left = []
        for i, taken in more.items():
            if new := [span for span in taken if span[2]]:
                spans[i] += new
                folded[i] = _taken(folded[i], new)
                left.append(i)
    return [_as_it_is(found, places.get(i)) for i, found in enumerate(spans)]


def detail(text: str, span: Span) -> str:
    """A found detail as the rules saw it."""
    return _seen(text[span[0] : span[1]])[0]


def mask(text: str, spans: Iterable[Span]) -> str:
    """The text with each span's placeholder in its place."""
    parts, done = [], 0
    for start, end, kind in spans:
        parts += [text[done:start], PLACEHOLDERS[kind]]
        done = end
    return "".join([*parts, text[done:]])


def mask_all(text: str, kinds: Collection[str] = KINDS) -> str:
    """A text on its own, without any details of these kinds."""
    return mask(text, [span for span in find(text) if span[2] in kinds])


def find_together(texts: list[str], records: Sequence[int], kinds: Collection[str] = KINDS) -> list[list[Span]]:
    """The details of these kinds in each text: what one text of a record names is known in all of that record.

    `records` says which record each text is of; the texts of a record stand together.
    """
    found = find_each(texts)
    for _, group in groupby(range(len(texts)), records.__getitem__):
        some = list(group)
        if len(some) > 1 and any(found[i] for i in some):
            known = {detail(texts[i], span): span[2] for i in some for span in found[i]}
            for i in some:
                found[i] = find(texts[i], known)
    return [[span for span in spans if span[2] in kinds] for spans in found]


def moved(place: int, spans: Iterable[Span], end: bool = False) -> int:
    """Where a place of a text is once the spans are masked; a place inside a detail goes to its start or end."""
    shift = 0
    for start, after, kind in spans:
        long = len(PLACEHOLDERS[kind])
        if after <= place:
            shift += long - (after - start)
        elif start < place:
            return start + shift + (long if end else 0)
    return place + shift


# ---- what polars looks for in a column

_D = "[0-9０-９]"
_ALNUM = "[0-9A-Za-z０-９Ａ-Ｚａ-ｚ]"
_DIGIT_WORDS = "[零〇一二三四五六七八九幺]"
_CONTACTS = (
    r"[Qq]{2}|[Ｑｑ]{2}|[QqＱｑ][:：群]|扣扣|叩叩|企鹅|[加+＋][QqＱｑVvＶｖ]|[微薇威]信|[VvＶｖ]信|(?i:wechat|weixin)|"
    r"[VvＶｖWwＷｗ][XxＸｘ]|(?i:ｗｅｃｈａｔ|ｗｅｉｘｉｎ)|[微薇VvＶｖWwＷｗ][❤♥]"
)
#: `_ANY` in a text as it is: its characters may be wide, and may have others between them that the rules don't see.
_ANY_FORM = rf"{_ALNUM}|[@＠/／:：]|(?:{_DIGIT_WORDS}[\s{CONTROL}{ZERO_WIDTH}]*){{11}}"
#: Texts without these are what the rules see.
_OTHERWISE = (
    f"[{''.join(map(re.escape, map(chr, _FOLD)))}{CONTROL}{ZERO_WIDTH}]|"
    rf'(?:^|[\s"\[\]])[^\s"\[\]](?: [^\s"\[\]]){{5}}|{_MASKED.pattern}'
)
#: Every text with a detail fits one of these (polars' regex); few others do.
_LOOKS = (
    # A number of ten digits or more, with what may stand between them.
    rf"{_D}(?:[ \-.()\x{{a0}}\x{{3000}}－．（）‐‑‒–—]{{0,2}}{_D}){{9}}",
    rf"{_DIGIT_WORDS}{{11}}",
    rf"{_ALNUM}(?:[@＠]|[#＃]|[ \x{{a0}}\x{{3000}}]?[(（](?i:at|ａｔ)[)）][ \x{{a0}}\x{{3000}}]?){_ALNUM}",
    r"[:：][/／]{2}|(?i:www|ｗｗｗ)[.．]|[.．][A-Za-zＡ-Ｚａ-ｚ]{2,4}(?:[:：][0-9０-９]{2,5})?[/／]|(?i:wxid|ｗｘｉｄ)",
    rf"{_D}[.．]{_D}{{1,3}}[.．]{_D}{{1,3}}[.．]{_D}|[:：]{_ALNUM}{{0,4}}[:：]",
    rf"(?:{_CONTACTS})[^。！？，]{{0,14}}?{_ALNUM}{{5}}",
    rf"(?:[电電][话話]|座[机機]|固话|[传傳]真|(?i:tel|fax|ｔｅｌ|ｆａｘ)).{{0,8}}{_D}{{3}}",
    # What the rules leave out may stand anywhere in a detail.
    r'(?:^|[\s"\[\]])[^\s"\[\]](?:[ \x{a0}\x{3000}][^\s"\[\]]){5}',
    f"[{CONTROL}{ZERO_WIDTH}]",
)


def may_hold(texts: pl.Expr) -> pl.Expr:
    """True for every text in which `find` finds something, and for few others."""
    return texts.str.contains("|".join(_LOOKS)).fill_null(False)
