"""Batches of frames in, detections in source px out."""
