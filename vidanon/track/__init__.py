"""Detections become people over time.

`flow` and `shots` measure pairs of pictures during the scan; `link` joins detections into tracks; `settle` fills their
gaps, smooths them and pads both ends. No network runs here and no file is opened.
"""
