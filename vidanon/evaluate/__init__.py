"""Measures of detection, privacy and quality, and the tables they make."""
