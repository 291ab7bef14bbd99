"""What differs in how two runs were made, from their manifests: recipe, options, seed, versions, sources."""

from __future__ import annotations

from typing import Any

from curate.card.files import MANY_FILES

Manifest = dict[str, Any]


def differing(first: Manifest, second: Manifest) -> list[dict[str, Any]]:
    """Each thing that differs as {"kind", "what", "first", "second"}; None for what one of the runs doesn't have.

    `kind` is recipe, setting, source or code. What decides most comes first: the recipe and its options, then seed
    and limit, the versions, the sources.
    """
    facts = [_facts(manifest) for manifest in (first, second)]
    names = list(dict.fromkeys([*facts[0], *facts[1]]))
    found = [{"what": name, "first": facts[0].get(name), "second": facts[1].get(name)} for name in names]
    listed = [*(one for one in found if one["first"] != one["second"]), *_sources(first, second)]
    return [{"kind": _kind(one["what"]), **one} for one in listed]


def _kind(what: str) -> str:
    if what in ("seed", "limit") or what.startswith("--set "):
        return "setting"
    if what.startswith(("source", "part ")):
        return "source"
    return "code" if what.startswith("version of ") else "recipe"


def _facts(manifest: Manifest) -> dict[str, Any]:
    """All that decides a run but its sources, flat; versions last."""
    recipe = manifest["recipe"]
    facts = {"task": manifest["task"], "recipe": recipe["name"], "recipe version": recipe["version"]}
    facts |= {"recipe file (sha256)": recipe["sha256"][:12]}
    facts |= {f"--set {key}": value for key, value in recipe["overrides"].items()}
    facts |= {"steps": list(dict.fromkeys(entry["step"] for entry in manifest["steps"]))}
    facts |= {"seed": manifest["seed"], "limit": manifest["limit"]}
    facts |= {"templates (sha256)": manifest["templates"]["sha256"][:12], "labels": manifest["labels"]}
    for name, corpus in manifest.get("mixture", {}).get("corpora", {}).items():
        facts |= {f"part {name} (fingerprint)": corpus["fingerprint"][:12], f"part {name}, rows": corpus["written"]}
    return facts | {f"version of {name}": value for name, value in manifest["versions"].items()}


def _sources(first: Manifest, second: Manifest) -> list[dict[str, Any]]:
    """Files that only one of the runs read, or read with other bytes; very many are only counted."""
    files = [_files(manifest) for manifest in (first, second)]
    names = [name for name in dict.fromkeys([*files[0], *files[1]]) if files[0].get(name) != files[1].get(name)]
    if len(names) > MANY_FILES:
        counts = [sum(name in side for name in names) for side in files]
        return [{"what": "sources that differ", "first": counts[0], "second": counts[1]}]
    return [{"what": f"source {name}", "first": files[0].get(name), "second": files[1].get(name)} for name in names]


def _files(manifest: Manifest) -> dict[str, str]:
    """Split and file → how many rows, and the hash of all bytes that they were read from."""
    found = {}
    for entry in manifest["sources"]:
        hashes = [entry["sha256"][:12], *([entry["target"]["sha256"][:12]] if "target" in entry else [])]
        name = "/".join(filter(None, (entry["split"], entry["file"], entry.get("member"))))
        found[name] = f"{entry['rows']:,} rows, sha256 {' '.join(hashes)}"
    return found
