"""All compiled code that a user meets, made ready in one go, once for an installation: what it is, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from og_env.kernel.compile import ALSO, Also, is_ready, watched
from og_env.simulator.compiled_step import by_offers, by_operations
from og_env.simulator.settings import Settings
from og_env.simulator.simulator import Simulator
from og_env.tape.draw import draw_row

PARTS: dict[str, tuple[str, Any]] = {
    "by_offers": ("steps by offers", by_offers),
    "by_operations": ("steps by operations", by_operations),
    "draw_row": ("the drawing of episodes", draw_row),
}
"""meaning and entry, by the name of the entry"""
SMALLEST = "toy-3"


class Compiled(NamedTuple):
    """A part that was compiled just now."""

    part: str
    """its meaning"""
    number: int
    """of this part, from 1"""
    parts: int
    """number of parts that were to be compiled"""
    seconds: float
    """that this part took"""


def compile_also(meaning: str, is_ready: Callable[[], bool], compile: Callable[[], None]) -> None:
    """Have other compiled code made ready with the kernels: by `warm_up`, or by whatever needs the first of them."""
    if all(each.meaning != meaning for each in ALSO):
        ALSO.append(Also(meaning, is_ready, compile))


def cold_parts() -> list[str]:
    """Meanings of the parts that are neither loaded nor kept on disk."""
    kernels = [meaning for meaning, entry in PARTS.values() if not is_ready(entry)]
    return kernels + [each.meaning for each in ALSO if not each.is_ready()]


def warm_up(told: Callable[[Compiled], None] = lambda compiled: None) -> float:
    """Compile what is neither loaded nor kept on disk; returns the seconds that it took, 0 where nothing is left to do.

    `told` is called after each part.
    """
    count, done = len(cold_parts()), 0
    if not count:
        return 0.0

    def tell(name: str, seconds: float) -> None:
        nonlocal done
        done += 1
        told(Compiled(PARTS[name][0] if name in PARTS else name, done, max(count, done), seconds))

    begin = time.perf_counter()
    with watched(tell):
        simulator = Simulator(SMALLEST, 1, Settings(task="placement"))
        simulator.load_episode(0, 0)
    return time.perf_counter() - begin
