"""Which detector runs: from settings to a `Detector`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from vidanon.detect.base import Detector, Network
from vidanon.detect.passes import PassDetector
from vidanon.errors import DeviceError, UsageError
from vidanon.models.detector import Size
from vidanon.models.weights import read_weights
from vidanon.settings import DetectSettings

OURS: Mapping[str, Size] = {"vidanon": "strong", "vidanon-fast": "fast"}


HINT = 'use "vidanon", "vidanon-fast", "mtcnn", or the path of an .onnx or .safetensors file'


def build_detector(settings: DetectSettings, *, device: str, threads: int = 0) -> Detector:
    """The detector that `settings.detector` names, on `device` ("cpu" or "cuda:N"), with `threads` (0 = all cores).

    ONNX detectors run on the CPU whatever `device` says, and say so in their `.device`. Raises UsageError for an
    unknown name or a missing extra, WeightsError for missing or damaged weights, DeviceError for a missing device.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"{device} was asked for, but torch sees no CUDA device", hint="use --device cpu")
    if settings.detector == "mtcnn":
        from vidanon.detect.mtcnn import MtcnnDetector

        return MtcnnDetector(device=device, min_face_px=settings.min_face_px, least=settings.weak_threshold)
    if settings.detector in OURS or settings.detector.endswith(".safetensors"):
        from vidanon.detect.ours import OurNetwork

        if threads:
            torch.set_num_threads(threads)
        least, iou = settings.weak_threshold, settings.nms_iou
        if settings.detector in OURS:
            size = OURS[settings.detector]
            ours = OurNetwork.shipped(size, device=device, least=least, nms_iou=iou, threads=threads)
        else:
            state, config = read_weights(Path(settings.detector))
            ours = OurNetwork(state, config, device=device, least=least, nms_iou=iou, threads=threads)
        return _passes(ours, settings, name=settings.detector, device=device)
    if settings.detector.endswith(".onnx"):
        from vidanon.detect.onnx import OnnxNetwork

        other = OnnxNetwork(
            Path(settings.detector), least=settings.weak_threshold, nms_iou=settings.nms_iou, threads=threads
        )
        return _passes(other, settings, name=other.name, device=other.device)
    raise UsageError(f"there is no detector {settings.detector!r}", hint=HINT)


def _passes(network: Network, settings: DetectSettings, *, name: str, device: str) -> PassDetector:
    return PassDetector(
        network,
        name=name,
        device=device,
        min_face_px=settings.min_face_px,
        tile_px=settings.tile_px,
        nms_iou=settings.nms_iou,
    )
