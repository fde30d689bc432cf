"""All of a batch of episodes as a plain value, and back: what is saved goes on bit for bit, in another process as well.

`live_state` says in an operator's words how a fleet stands now; it leaves out what the tape has in store, and works out
what was measured. A saved state is the arrays themselves: a flat dict of NumPy arrays, numbers, flags and texts.
`numpy.savez(file, **state)` keeps it as it is, and `numpy.load` gives what `restore` takes; JSON takes it once arrays are
lists.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from og_env.simulator.simulator import NO_SEED, Simulator

FORMAT = 1
"""of the value: counts up when old values cannot be read any more"""
GROUPS = ("tape", "state", "output", "memo")
"""layouts of a simulator that are saved; worlds follow from the scenario and the seeds"""
GENERATOR = "PCG64"
"""the kind of all random generators, NumPy's and Gymnasium's default"""


class Restored(NamedTuple):
    """Parts of a saved state that are the environment's, not the simulator's."""

    generators: list[np.random.Generator]
    """those that draw the next episodes"""
    started: bool
    """whether an episode is being played"""


def save(simulator: Simulator, generators: Sequence[np.random.Generator], *, started: bool) -> dict[str, Any]:
    """The state of a simulator, and of the generators of its environment's next episodes.

    ValueError for a generator that is not a PCG64.
    """
    value: dict[str, Any] = _identity(simulator)
    value |= {"clock": simulator.clock, "started": started, "generators": json.dumps(list(map(_saved, generators)))}
    value |= {name: array.copy() for name, array in _arrays(simulator).items()}
    return value | {"checksum": _checksum(value)}


def restore(simulator: Simulator, value: Mapping[str, Any]) -> Restored:
    """Put a saved state into a simulator of the same scenario, settings and size.

    ValueError in one line, and nothing is changed, where it is of another one, or was cut or altered.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"state is {type(value).__name__}, not a dict as get_state() gives it")
    plain = {name: _plain(each) for name, each in value.items()}
    _check_identity(_identity(simulator), plain)
    arrays = _arrays(simulator)
    _check_names(set(arrays) | {"clock", "started", "generators", "checksum"}, plain)
    read = {name: _read(name, plain[name], array) for name, array in arrays.items()}
    if _checksum(plain | read) != plain["checksum"]:
        raise ValueError("state was altered since it was saved: its checksum is another one")
    for b, seed in enumerate(read["seeds"].tolist()):
        if seed not in (NO_SEED, int(simulator.seeds[b])):
            simulator.load_world(b, seed)
    for name, array in arrays.items():
        array[:] = read[name]
    simulator.clock = plain["clock"]
    simulator.renew()
    simulator.buffers.write(read["observation"], read["mask"])
    return Restored([_generator(each) for each in json.loads(plain["generators"])], bool(plain["started"]))


def _identity(simulator: Simulator) -> dict[str, Any]:
    """All that must be equal in the simulator that a state comes from and the one that it goes to."""
    spec = simulator.spec
    return {
        "format": FORMAT,
        "scenario": spec.name,
        "scenario_sha256": hashlib.sha256(spec.model_dump_json().encode()).hexdigest(),
        "settings": json.dumps(simulator.settings._asdict(), default=operator.methodcaller("item")),
        "environments": simulator.batch,
    }


def _arrays(simulator: Simulator) -> dict[str, np.ndarray]:
    """Every array of a state by its name."""
    arrays = {"seeds": simulator.seeds, "observation": simulator.observation, "mask": simulator.mask}
    for group in GROUPS:
        arrays |= {f"{group}.{name}": array for name, array in getattr(simulator, group)._asdict().items()}
    return arrays


def _plain(value: Any) -> Any:
    """A number, flag or text out of the array without dimensions that `numpy.load` makes of it."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value


def _check_identity(here: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    if state.get("format") != here["format"]:
        raise ValueError(f"state has format {state.get('format')!r}, and this version reads {here['format']}")
    for name in ("scenario", "environments"):
        if state.get(name) != here[name]:
            raise ValueError(f"state is of {name} {state.get(name)!r}, and here it is {here[name]!r}")
    if state.get("scenario_sha256") != here["scenario_sha256"]:
        raise ValueError(f"state is of a scenario {here['scenario']!r} with other values than the one here")
    _check_settings(state.get("settings"), json.loads(here["settings"]))


def _check_settings(text: Any, here: dict[str, Any]) -> None:
    try:
        there = dict(json.loads(text))
    except (TypeError, ValueError):
        raise ValueError("state has no settings that can be read") from None
    for name, value in here.items():
        if there.get(name) != value:
            raise ValueError(f"state is of {name}={there.get(name)!r}, and here it is {value!r}")


def _check_names(needed: set[str], state: Mapping[str, Any]) -> None:
    missing = sorted(needed - set(state))
    if missing:
        raise ValueError(f"state has no {missing[0]!r}: it was cut, or is of another version")


def _read(name: str, value: Any, like: np.ndarray) -> np.ndarray:
    """An array of a state, given as one or as lists; ValueError where its kind or shape is not that of `like`."""
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value, like.dtype).reshape(like.shape)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"state: {name} is no {like.dtype} {like.shape}") from None
    if array.dtype != like.dtype or array.shape != like.shape:
        raise ValueError(f"state: {name} is {array.dtype} {array.shape}, and here it is {like.dtype} {like.shape}")
    return array


def _checksum(state: Mapping[str, Any]) -> str:
    """Of all that a state holds: a value that was altered by hand could make kernels read beyond their arrays."""
    total = hashlib.sha256()
    for name in sorted(set(state) - {"checksum"}):
        value = state[name]
        total.update(f"{name}={value}\0".encode() if not isinstance(value, np.ndarray) else name.encode())
        if isinstance(value, np.ndarray):
            total.update(np.ascontiguousarray(value).data)
    return total.hexdigest()


def _saved(generator: np.random.Generator) -> dict[str, Any]:
    state = dict(generator.bit_generator.state)
    if state["bit_generator"] != GENERATOR:
        raise ValueError(f"the environment's generator is a {state['bit_generator']}; only a {GENERATOR} can be saved")
    return state


def _generator(state: Any) -> np.random.Generator:
    bits = np.random.PCG64()
    bits.state = state
    return np.random.Generator(bits)
