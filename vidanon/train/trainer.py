"""One step of the generator's training after another: networks, optimizers, what they are shown, and every term.

Progressive growing, a non-saturating GAN with lazy R1, averaged weights; train/generator.py drives it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vidanon.detect.landmarks import FaceLandmarker
from vidanon.errors import UsageError
from vidanon.models.appearance import Person, scaled
from vidanon.models.discriminator import Discriminator
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.weights import read_weights
from vidanon.render.align import CROP_SCALE
from vidanon.train import losses
from vidanon.train.appearance import codes, details, fit, gather
from vidanon.train.batches import CropBatch, CropSampler
from vidanon.train.patterns import add_patterns, chosen
from vidanon.train.recipes import GeneratorTraining, phases_for
from vidanon.train.runs import (
    EMA,
    load_checkpoint,
    pack,
    pack_optimizer,
    unpack,
    unpack_optimizer,
)
from vidanon.train.views import blinking, disturbed, elsewhere, nudged
from vidanon.types import FACE_POINT_INDEX

TOGETHER = [
    [FACE_POINT_INDEX[n] for n in FACE_POINT_INDEX if part.fullmatch(n)]
    for part in (
        re.compile(r"right_(eye|pupil|lid_.*)"),
        re.compile(r"left_(eye|pupil|lid_.*)"),
        re.compile("lip_.*|mouth_.*"),
    )
]
"""points that detection puts off together: each eye's, the mouth's"""
OFF = (0.006, 0.0015)
"""how far, in crops, points are put off (standard deviation), and those of one eye or mouth against each other: with
more, nothing but the mean face's lids could be learned from lids a fortieth of a crop apart"""
LOOSE = [
    {FACE_POINT_INDEX[n] for n in FACE_POINT_INDEX if "_lid_" in n or "lip_" in n or "_pupil" in n},
    {FACE_POINT_INDEX[n] for n in FACE_POINT_INDEX if "_shoulder" in n},
]
"""points that detection often lacks together: expression, shoulders"""


SHAPE = ("resolution", "width", "max_channels")
"""the options that say how large a generator is"""
LEGIBLE = 64
"""px of a crop from which on a landmarker tells what a face does"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the generator is given."""

    crops: CropBatch
    """[B, ...]"""
    points: Tensor
    """[B, 30, 2] as detection would have them"""
    who: Person
    """[B, ...] of the appearance model"""
    people: Tensor
    """[B, 4, S, S] what that model makes of points and persons"""

    def __getitem__(self, rows: slice) -> Seen:
        """Some of them."""
        return Seen(self.crops[rows], self.points[rows], self.who[rows], self.people[rows])


class Trainer:
    """The networks, optimizers and counters of one run; `generator.train` drives it."""

    def __init__(self, options: GeneratorTraining) -> None:
        self.options = options
        fastest = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(fastest if options.device == "auto" else options.device)
        torch.manual_seed(options.seed)
        self.config = GeneratorConfig(
            resolution=options.resolution, width=options.width, max_channels=options.max_channels
        )
        self.g = Generator(self.config).to(self.device).to(memory_format=torch.channels_last)
        self.d = Discriminator(self.config).to(self.device).to(memory_format=torch.channels_last)
        if options.weights is not None:
            state, shape = read_weights(options.weights)
            # what is expected by surroundings was fitted to an encoder that will no longer be that one
            state = {k: v for k, v in state.items() if not k.startswith("surroundings.")}
            try:
                self.g.load_state_dict(state)
            except RuntimeError as e:
                given = " ".join(f"--{k.replace('_', '-')} {shape[k]}" for k in SHAPE if k in shape)
                raise UsageError(
                    f"{options.weights} is of a network of another shape", hint=f"its own is {given or 'unknown'}"
                ) from e
        self.ema = EMA(self.g)
        self.landmarker = FaceLandmarker.shipped(self.device).network if options.expression else None
        lazy = options.r1_every / (options.r1_every + 1)
        fused = self.device.type == "cuda"
        self.g_opt = torch.optim.Adam(self.g.parameters(), lr=options.rate, betas=(0.5, 0.99), fused=fused)
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=options.d_rate, betas=(0.0, 0.99**lazy), fused=fused)
        self.images = 0
        self.steps = 0
        self.minutes = 0.0
        self.random = torch.Generator(self.device).manual_seed(options.seed)
        self.codes = torch.zeros(0, self.config.latent_dim, device=self.device)
        """[2 N, L] of the training faces, then of the same mirrored"""
        self.details = torch.zeros(0, 3, 1, 1, dtype=torch.float16, device=self.device)
        """[2 N, 3, D, D] what the codes do not tell of them"""
        self.phases = phases_for(options.resolution, options.first)

    @property
    def progress(self) -> float:
        """How much of the budget is spent, be it images or minutes, 0..1."""
        limit = self.options.minutes
        return min(1.0, max(self.images / self.options.images, self.minutes / limit if limit else 0.0))

    def now(self) -> tuple[int, float]:
        """(size, fade) at the present progress."""
        done = self.progress
        for phase in self.phases:
            if done < phase.share or phase is self.phases[-1]:
                within = done / phase.share
                return phase.size, min(1.0, within / phase.fade) if phase.fade else 1.0
            done -= phase.share
        raise AssertionError("phases are never empty")

    def meet(self, sampler: CropSampler) -> None:
        """Learns who the training faces are, and the appearance model and its patterns where there are none yet."""
        appearance = self.g.appearance
        gathered = gather(sampler, px=self.config.appearance_px)
        if not appearance.cover.any():
            shape = {"latent_dim": self.config.latent_dim, "px": self.config.appearance_px}
            appearance.load_state_dict(fit(gathered, **shape, seed=self.options.seed).state_dict())
        appearance.cpu()
        known = codes(appearance, gathered)
        self.codes, self.details = (t.to(self.device) for t in (known, details(appearance, gathered, known)))
        if not len(appearance.ends):
            o = self.options
            rows = chosen(appearance, sampler, gathered, most=o.patterns, listed=o.listed, data=o.data)
            add_patterns(appearance, sampler, gathered, rows)
        appearance.to(self.device)
        self.ema.network.appearance.load_state_dict(appearance.state_dict())

    def points(self, crops: CropBatch) -> Tensor:
        """[B, 30, 2] the conditioning points, a little off, some of them withheld, as detection has it."""
        points = crops.points
        b, p, _ = points.shape
        expression, shoulders = (torch.tensor([i in rows for i in range(p)], device=self.device) for rows in LOOSE)

        def chance(share: float, columns: int = 1) -> Tensor:
            return torch.rand(b, columns, generator=self.random, device=self.device) < share

        noise, apart = torch.randn(2, b, p, 2, generator=self.random, device=self.device)
        noise = OFF[0] * noise
        for rows in TOGETHER:
            noise[:, rows] = noise[:, rows[:1]] + OFF[1] * apart[:, rows]
        drop = chance(0.03, p)
        drop = drop | (chance(0.1) & expression)
        drop = drop | (chance(0.5) & shoulders)
        drop = drop | chance(0.03)  # nothing known at all
        return torch.where(drop[..., None], torch.nan, points + noise)

    def somebody(self, rows: Tensor) -> Person:
        """[2 B, ...] the training faces `rows` [B], a little off, then as many people nobody is."""
        shape = (2, len(rows), self.config.latent_dim)
        off, latents = torch.randn(shape, generator=self.random, device=self.device)
        made_up, detail = self.g.appearance.person(latents), self.details[rows].float()
        return Person(
            torch.cat([self.codes[rows] + 0.1 * off, made_up.code]),
            torch.cat([detail, scaled(made_up.detail, detail.shape[-1])]),
        )

    def step(self, sampler: CropSampler) -> dict[str, Tensor]:
        """One step of both networks; the terms' values."""
        o = self.options
        size, fade = self.now()
        calm = min(1.0, 0.1 + 2.7 * (1 - self.progress))
        self.g_opt.param_groups[0]["lr"] = o.rate * calm
        self.d_opt.param_groups[0]["lr"] = o.d_rate * calm

        # the generator paints the first half of the crops twice: the people who are in them, and others
        crops = elsewhere(sampler.batch(sampler.draw(o.batch), size), self.random, share=o.elsewhere)
        points = self.points(crops)
        half = o.batch // 2
        asked = torch.cat([points[:half], blinking(points[:half], self.random, share=o.blinks)])
        who = self.somebody(crops.rows[:half])
        seen = Seen(crops[:half].twice(), asked, who, self.g.appearance(asked, who, size))
        painted = self.paint(seen, fade)
        shown = seen.crops.composite(painted)
        stats = self._discriminate(crops, points, seen, shown.detach(), fade)
        stats |= self._generate(seen, painted, shown, fade)

        self.images += o.batch
        self.steps += 1
        half_life = min(o.ema_images, self.images / 10 + o.batch)
        self.ema.update(self.g, decay=0.5 ** (o.batch / half_life))
        return {name: value.detach() for name, value in stats.items()}

    def paint(self, seen: Seen, fade: float) -> Tensor:
        """[B, 3, S, S] faces, float32."""
        with self.mixed():
            crops = seen.crops
            painted = self.g.paint(crops.context, crops.hidden, seen.points, seen.who.code, seen.people, fade=fade)
        return painted.float()

    def _discriminate(
        self, real: CropBatch, points: Tensor, fake: Seen, shown: Tensor, fade: float
    ) -> dict[str, Tensor]:
        """A step of the discriminator on real crops with their points, and on what was painted."""
        o = self.options
        shown = losses.augment(shown, strength=o.augment, generator=self.random)
        image = losses.augment(real.image, strength=o.augment, generator=self.random)
        penalize = self.steps % o.r1_every == 0
        if penalize:
            image = image.detach().requires_grad_()
        self.d.requires_grad_(requires_grad=True)
        with self.mixed(wanted=not penalize):  # the penalty's second derivatives are too small for bfloat16
            real_logits = self.d(image, real.hidden, points, fade)
        with self.mixed():
            fake_logits = self.d(shown, fake.crops.hidden, fake.points, fade)
        loss = losses.discriminator_loss(real_logits, fake_logits)
        stats = {"d": loss, "real": real_logits.mean(), "fake": fake_logits.mean()}
        if penalize:
            stats["r1"] = losses.r1(real_logits, image)
            loss = loss + 0.5 * o.gamma * o.r1_every * stats["r1"]
        self.d_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.d_opt.step()
        return stats

    def _generate(self, seen: Seen, painted: Tensor, shown: Tensor, fade: float) -> dict[str, Tensor]:
        """A step of the generator on what it has painted."""
        o, crops = self.options, seen.crops
        self.d.requires_grad_(requires_grad=False)
        face = crops.hidden - crops.outside
        known, made_up = slice(0, len(painted) // 2), slice(len(painted) // 2, None)
        before = self.random.get_state()
        augmented = losses.augment(shown, strength=o.augment, generator=self.random)
        with self.mixed():
            logits, features = self.d.look(augmented, crops.hidden, seen.points, fade)
        heard = min(1.0, self.images / o.warm_up) if o.warm_up else 1.0
        terms = {"g": o.adversarial * heard * losses.generator_loss(logits)}
        if o.colour:
            terms["colour"] = o.colour * losses.low_frequency(painted, crops.image, face)
        if o.reconstruction:
            weight = face[known] * losses.telling(crops.points[known], painted.shape[-1])
            same = losses.reconstruction(painted[known], crops.image[known], weight)
            terms["reconstruction"] = o.reconstruction * same
        if o.matching:
            self.random.set_state(before)  # augmented alike
            real = losses.augment(crops.image, strength=o.augment, generator=self.random)[known]
            with torch.no_grad(), self.mixed():
                _, wanted = self.d.look(real, crops.hidden[known], seen.points[known], fade)
            terms["matching"] = o.matching * losses.matching({s: f[known] for s, f in features.items()}, wanted)
        if o.seam:
            terms["seam"] = o.seam * losses.seam(painted, crops.image, crops.hidden, crops.outside)
        if self.landmarker is not None and painted.shape[-1] >= LEGIBLE:
            scale = CROP_SCALE / self.landmarker.config.scale
            did = losses.expression(shown, seen.points, self.landmarker, self.random, scale=scale)
            terms["expression"] = o.expression * did
        if o.likeness:
            like = losses.likeness(painted[made_up], seen.people[made_up], face[made_up])
            terms["likeness"] = o.likeness * like
        if o.steadiness:
            few = slice(len(painted) - max(1, o.batch // 4), None)
            terms["steadiness"] = o.steadiness * self._steadiness(seen[few], painted[few], fade)
        total = torch.stack(list(terms.values())).sum()
        self.g_opt.zero_grad(set_to_none=True)
        total.backward()
        self.g_opt.step()
        return terms

    def _steadiness(self, seen: Seen, painted: Tensor, fade: float) -> Tensor:
        """The equivariance term: the same faces again, cut a little differently, their surroundings disturbed."""
        crops, grid = nudged(disturbed(seen.crops, self.random), self.random)
        # what the detector knew of the crop, it knows of the nudged one
        points = torch.where(torch.isfinite(seen.points), crops.points, torch.nan)
        people = self.g.appearance(points, seen.who, painted.shape[-1])
        again = self.paint(Seen(crops, points, seen.who, people), fade)
        return losses.equivariance(painted, again, grid, crops.hidden - crops.outside)

    def memory(self, others: CropSampler, means: dict[str, float]) -> dict[str, float]:
        """How the discriminator takes faces it was never shown, and how much of what it knows it only remembers.

        `held` is its mean logit of 32 held-out crops; `overfit` is 0 where they are as real to it as the training faces
        are and 1 where they are as false as painted ones (r_v of Karras et al. 2020, https://arxiv.org/abs/2006.06676).
        """
        size, fade = self.now()
        with torch.no_grad():
            crops = others.batch(others.draw(32), size)
            image = losses.augment(crops.image, strength=self.options.augment, generator=self.random)
            held = float(self.d(image, crops.hidden, self.points(crops), fade).mean())
        apart = means["real"] - means["fake"]
        return {"held": round(held, 4), "overfit": round((means["real"] - held) / apart, 3) if apart > 0 else 0.0}

    def mixed(self, *, wanted: bool = True) -> torch.autocast:
        """bfloat16 where it helps: in convolutions and products, on a GPU."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted and self.device.type == "cuda")

    def state(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint."""
        return {
            **pack("g", self.g.state_dict()),
            **pack("d", self.d.state_dict()),
            **pack("ema", self.ema.network.state_dict()),
            **pack_optimizer("g_opt", self.g_opt),
            **pack_optimizer("d_opt", self.d_opt),
            "random": self.random.get_state(),
        }

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint. Raises InputError if there is none, UsageError if it is of another shape."""
        tensors, numbers = load_checkpoint(path)
        try:
            self.g.load_state_dict(unpack("g", tensors))
            self.d.load_state_dict(unpack("d", tensors))
            self.ema.network.load_state_dict(unpack("ema", tensors))
        except RuntimeError as e:
            raise UsageError(
                f"{path} is of a network of another shape", hint="give its run's --resolution, --width, --max-channels"
            ) from e
        unpack_optimizer("g_opt", tensors, self.g_opt)
        unpack_optimizer("d_opt", tensors, self.d_opt)
        self.random.set_state(tensors["random"])
        self.images, self.steps = int(numbers["images"]), int(numbers["steps"])
        self.minutes = float(numbers["minutes"])
