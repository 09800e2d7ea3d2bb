"""Networks and weights and nothing else; one idea per file."""
