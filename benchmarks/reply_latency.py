"""From a provider's token to its reader: `python -m benchmarks --only reply-latency`.

Many replies at once, each with so many tokens a second. A token is the moment at which the
generator made it, so its way through the log (it is stored before anyone sees it) and the socket is
measured one by one. The hand-written endpoint of `streaming` shows what the machine itself takes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from benchmarks.figures import Spread, load, milliseconds, table
from benchmarks.readers import Flood, Kind, Server, flood, running


@dataclass(frozen=True, slots=True)
class ReplyLatency:
    """The result; latencies are in milliseconds."""

    ours: Flood
    plain: Flood
    rate: float
    tokens: int
    load: list[float]

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": "ms",
            "replies": self.ours.replies,
            "tokens_per_second": self.rate,
            "groundql": self._json(self.ours),
            "plain": self._json(self.plain),
            "load": self.load,
        }

    def report(self) -> str:
        rows = []
        for name, one in (("groundql", self.ours), ("plain", self.plain)):
            spread = Spread.of(one.latencies)
            rows.append(
                (
                    name,
                    milliseconds(spread.median),
                    f"{milliseconds(spread.quartile_1)} to {milliseconds(spread.quartile_3)}",
                    milliseconds(spread.p99),
                    milliseconds(max(one.latencies)),
                    f"{one.replies * self.tokens / one.deltas:.1f}",
                    f"{100 * one.cpu / one.seconds:.0f} %",
                )
            )
        head = ("milliseconds", "p50", "quartiles", "p99", "longest", "tokens a delta", "CPU")
        return (
            f"{table(head, rows)}\n\n"
            f"{self.ours.replies} replies at once, {self.rate:.0f} tokens a second each, "
            f"{self.tokens} tokens each; load {self.load}"
        )

    def _json(self, one: Flood) -> dict[str, Any]:
        return {
            **Spread.of(one.latencies).to_json(),
            "p999": round(float(np.percentile(one.latencies, 99.9)), 3),
            "longest": round(max(one.latencies), 3),
            "tokens_per_delta": round(one.replies * self.tokens / one.deltas, 2),
            "cpu_share": round(one.cpu / one.seconds, 3),
        }


def run(
    data_dir: Path, *, replies: int = 200, rate: float = 50, seconds: float = 10
) -> ReplyLatency:
    """Measure with fresh data beneath `data_dir`."""
    tokens = max(1, round(rate * seconds))
    before = load()

    async def measure(server: Server) -> Flood:
        await flood(server, replies=5, tokens=20)
        return await flood(server, replies=replies, tokens=tokens, rate=rate)

    floods: dict[Kind, Flood] = {}
    kinds: tuple[Kind, Kind] = ("groundql", "plain")
    with asyncio.Runner(loop_factory=uvicorn.Config(run).get_loop_factory()) as runner:
        for kind in kinds:
            with running(kind, data_dir) as server:
                floods[kind] = runner.run(measure(server))
    return ReplyLatency(floods["groundql"], floods["plain"], rate, tokens, before)
