from __future__ import annotations


def draw_readme(card, features, lang):
    return "TODO\n"
