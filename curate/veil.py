"""What may be shown of rows that `redact_pii` has not reached: everything, with personal details masked.

A recipe that masks or rejects personal details shows none of them: not in rows that were rejected before that step or
couldn't be read at all, not in an error that quotes a file, not in `preview` and `explain`, which read the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from typing import Any

from curate.lazy import pl
from curate.readers.options import RAW_LIMIT
from curate.recipefile import Recipe
from curate.types import Records, UserError

#: Where a raw text was cut, a number or an address may have been.
_CUT = re.compile(r"[0-9A-Za-z０-９@._+\-() ]*\Z")


def _options(recipe: Recipe) -> Any:
    use = recipe.step("redact_pii")
    return use.options if use is not None and use.options.action != "report" else None


def veil_of(recipe: Recipe) -> Callable[[pl.DataFrame], pl.DataFrame] | None:
    """What masks rows for showing them; None for a recipe that hides nothing."""
    if (options := _options(recipe)) is None:
        return None
    from curate.steps.redact_pii import veil

    return veil(options, recipe.family)


def veiled(read: Callable[..., tuple[str, Iterator[Records]]]) -> Callable[..., tuple[str, Iterator[Records]]]:
    """`read_file` whose unreadable rows and errors are masked, where the recipe says so."""

    @wraps(read)
    def masked(recipe: Recipe, *arguments: Any) -> tuple[str, Iterator[Records]]:
        if (options := _options(recipe)) is None:
            return read(recipe, *arguments)
        try:
            name, blocks = read(recipe, *arguments)
        except UserError as error:
            raise _masked_error(error, options.kinds) from None
        return name, _masked_blocks(blocks, options.kinds)

    return masked


def _masked_blocks(blocks: Iterator[Records], kinds: list[str]) -> Iterator[Records]:
    try:
        for records in blocks:
            rejects = [replace(reject, raw=_masked_raw(reject.raw, kinds)) for reject in records.rejects]
            yield replace(records, rejects=rejects)
    except UserError as error:
        raise _masked_error(error, kinds) from None


def _masked_raw(raw: str, kinds: list[str]) -> str:
    from curate.text.pii import mask_all  # its rules are compiled when they are needed

    return mask_all(raw if len(raw) < RAW_LIMIT else _CUT.sub("…", raw), kinds)


def _masked_error(error: UserError, kinds: list[str]) -> UserError:
    from curate.text.pii import mask_all

    return UserError(*(mask_all(message, kinds) for message in error.messages))
