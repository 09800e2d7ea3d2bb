"""`python -m vidanon` is `vidanon`."""

from __future__ import annotations

from vidanon.cli import main

if __name__ == "__main__":
    main()
