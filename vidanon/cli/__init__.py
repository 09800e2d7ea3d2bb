"""The command line: verbs over the engine. stdout carries data, stderr everything said to a person.

`console` owns stderr and the exit codes, `app` puts the verbs together, `options` holds what several verbs share.
Only the verbs themselves import torch or a codec, so that help and the plan verbs answer at once.
"""

from __future__ import annotations

from vidanon.cli.app import main

__all__ = ["main"]
