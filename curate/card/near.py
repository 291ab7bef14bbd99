"""The card's parts about near-duplicates: by their texts, and by their meaning."""

from __future__ import annotations

from typing import Any

from jingtiao.markdown import table


def near_part(card: dict[str, Any], w: dict[str, str], splits: list[str]) -> dict[str, str]:
    """What near_dedup found, and by which rule."""
    found = card.get("near")
    if not found:
        return {"near": "", "near_note": ""}
    by = []
    for one in found["classes"]:
        how = w["near_ngram"].format(**one) if one["ngram"] else w["near_edit" if "edit" in one else "near_exact"]
        span = w["near_from"] if one["to"] is None else w["near_to"]
        by.append(span.format(**one) + how)
    digits = w[f"near_digits_{found['digits']}"]
    note = w["near_note"].format(threshold=found["threshold"], by=w["near_join"].join(by), digits=digits)
    return {"near": _clusters(found, w, splits), "near_note": note}


def semantic_part(card: dict[str, Any], w: dict[str, str], splits: list[str]) -> dict[str, str]:
    """What semantic_dedup found, and from which cosine on."""
    found = card.get("semantic")
    if not found:
        return {"semantic": "", "semantic_note": ""}
    sha = card["versions"]["semantic_model"][:16]
    note = w["semantic_note"].format(threshold=found["threshold"], sha=sha)
    return {"semantic": _clusters(found, w, splits), "semantic_note": note}


def _clusters(found: dict[str, Any], w: dict[str, str], splits: list[str]) -> str:
    """A row a split: what a step found to be repeats, and their clusters."""
    head = [w["split"], w["near_rows"], w["near_clusters"], w["near_largest"], w["near_weakest"]]
    rows = []
    for split in splits:
        told = found["splits"].get(split, {"rows": 0, "clusters": 0, "largest": 0})
        largest = f"{told['largest']:,} ({told['weakest_of_largest']:.2f})" if told["rows"] else "–"
        weakest = f"{told['weakest']:.2f}" if told["rows"] else "–"
        rows.append([split, f"{told['rows']:,}", f"{told['clusters']:,}", largest, weakest])
    return table(head, rows)
