"""What is trained: one file a method, one line here.

A method turns a base model into one with trainable parameters (`requires_grad`), and saves what it trained so that
plain PEFT, or plain transformers, loads it.
"""

from __future__ import annotations

from tune.methods import freeze, full, lora
from tune.methods.method import Method

METHODS: dict[str, Method] = {method.name: method for method in (lora.METHOD, full.METHOD, freeze.METHOD)}

__all__ = ["METHODS", "Method"]
