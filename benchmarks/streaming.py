"""Streams of many replies at once: `python -m benchmarks --only streaming`.

The subscription `chat` over WebSockets, with everything stored, against a hand-written endpoint
that sends the same messages, one token each, without GraphQL and without a store. Both are
processes of their own; both yield tokens of about four characters as fast as they can. Under load
the deltas of a reply merge, so the figure that counts is characters per second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvicorn

from benchmarks.figures import load, progress, table
from benchmarks.readers import Flood, Kind, Server, flood, running

GOAL: Final = 0.5
# Replies at once, and tokens of each, so that each round takes a few seconds.
SIZES: Final = ((1, 20_000), (20, 2_000), (200, 400), (1_000, 100))


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers under the same number of replies; several rounds of each."""

    replies: int
    tokens: int
    largest: bool
    ours: Sequence[Flood]
    plain: Sequence[Flood]

    @property
    def ratio(self) -> float:
        """Characters per second, ours to plain: the median of the rounds."""
        return median(
            ours.characters / ours.seconds / (plain.characters / plain.seconds)
            for ours, plain in zip(self.ours, self.plain, strict=True)
        )

    @property
    def ratio_of_messages(self) -> float:
        return median(
            ours.deltas / ours.seconds / (plain.deltas / plain.seconds)
            for ours, plain in zip(self.ours, self.plain, strict=True)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "replies": self.replies,
            "tokens": self.tokens,
            "ratio_of_characters": round(self.ratio, 3),
            "ratio_of_deltas": round(self.ratio_of_messages, 3),
            "groundql": self.json(self.ours),
            "plain": self.json(self.plain),
        }

    def json(self, floods: Sequence[Flood]) -> dict[str, Any]:
        """The figures of one of the two servers."""
        return _json(floods, self.tokens, largest=self.largest)


@dataclass(frozen=True, slots=True)
class Streaming:
    """The result."""

    pairs: Sequence[Pair]
    load: list[float]

    def to_json(self) -> dict[str, Any]:
        return {
            "goal": GOAL,
            "sizes": [pair.to_json() for pair in self.pairs],
            "load": self.load,
        }

    def report(self) -> str:
        rows = []
        for pair in self.pairs:
            ours, plain = pair.json(pair.ours), pair.json(pair.plain)
            rows.append(
                (
                    f"{pair.replies}",
                    f"{ours['characters_per_second']:,.0f}",
                    f"{plain['characters_per_second']:,.0f}",
                    f"{pair.ratio:.0%}",
                    f"{ours['deltas_per_second']:,.0f}",
                    f"{plain['deltas_per_second']:,.0f}",
                    f"{ours['tokens_per_delta']:.1f}",
                )
            )
        costs = []
        for pair in self.pairs:
            ours, plain = pair.json(pair.ours), pair.json(pair.plain)
            costs.append(
                (
                    f"{pair.replies}",
                    f"{ours['cpu_us_per_delta']:.0f}",
                    f"{ours['cpu_us_per_token']:.1f}",
                    f"{plain['cpu_us_per_token']:.1f}",
                    *(_kib(kind["bytes_per_subscription"]) for kind in (ours, plain)),
                    f"{ours['questions_per_second']:,.0f}",
                )
            )
        speed = table(
            (
                "replies at once", "characters/s", "plain", "ratio",
                "deltas/s", "plain", "tokens a delta",
            ),
            rows,
        )  # fmt: skip
        cost = table(
            (
                "replies at once", "CPU us a delta", "a token", "plain",
                "KiB a subscription", "plain", "questions/s",
            ),
            costs,
        )  # fmt: skip
        return (
            f"{speed}\n\n{cost}\n\n"
            f"goal: {GOAL:.0%} of the plain endpoint's characters per second with everything "
            f"stored; {len(self.pairs[0].ours)} rounds, load {self.load}"
        )


def _json(floods: Sequence[Flood], tokens: int, *, largest: bool) -> dict[str, Any]:
    sent = [one.replies * tokens for one in floods]
    memory = floods[0].memory if largest else None
    return {
        "characters_per_second": median(one.characters / one.seconds for one in floods),
        "deltas_per_second": median(one.deltas / one.seconds for one in floods),
        "tokens_per_delta": median(
            count / one.deltas for count, one in zip(sent, floods, strict=True)
        ),
        "cpu_us_per_delta": median(1e6 * one.cpu / one.deltas for one in floods),
        "cpu_us_per_token": median(
            1e6 * one.cpu / count for count, one in zip(sent, floods, strict=True)
        ),
        # The first round's of most replies: later ones use memory that the process has kept.
        "bytes_per_subscription": None if memory is None else round(memory),
        "questions_per_second": median(one.replies / one.opening for one in floods),
        "seconds": median(one.seconds for one in floods),
    }


def _kib(size: int | None) -> str:
    return "-" if size is None else f"{size / 1024:.0f}"


async def _measure(
    servers: dict[Kind, Server], sizes: Sequence[tuple[int, int]], rounds: int
) -> list[Pair]:
    # The first replies of a process warm it up.
    for server in servers.values():
        await flood(server, replies=5, tokens=20)
    pairs: list[Pair] = []
    with progress() as bar:
        task = bar.add_task("Reading replies", total=len(sizes) * rounds * len(servers))
        # The most subscriptions first: what they take is only seen while memory is fresh.
        for replies, tokens in sorted(sizes, reverse=True):
            floods: dict[Kind, list[Flood]] = {"groundql": [], "plain": []}
            for _ in range(rounds):
                for kind, server in servers.items():
                    floods[kind].append(await flood(server, replies=replies, tokens=tokens))
                    bar.advance(task)
            largest = not pairs
            pairs.append(Pair(replies, tokens, largest, floods["groundql"], floods["plain"]))
    return pairs[::-1]


def run(data_dir: Path, *, sizes: Sequence[tuple[int, int]] = SIZES, rounds: int = 3) -> Streaming:
    """Measure with fresh data beneath `data_dir`; `sizes` are pairs of replies and tokens."""
    before = load()
    factory = uvicorn.Config(run).get_loop_factory()
    with (
        running("groundql", data_dir) as ours,
        running("plain", data_dir) as plain,
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        servers: dict[Kind, Server] = {"groundql": ours, "plain": plain}
        pairs = runner.run(_measure(servers, sizes, rounds))
    return Streaming(pairs, before)
