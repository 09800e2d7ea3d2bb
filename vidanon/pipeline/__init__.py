"""Scan, render and run: the rooms put together, with typed progress events."""
