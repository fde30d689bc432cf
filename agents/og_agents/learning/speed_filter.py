"""A filter of measured speeds: a small network says how slow each site will be, and how surely.

A time that was measured on few requests is mostly noise, one of an hour ago is stale, and the router that acts on either
sends requests astray. The memory has running means of what was measured, weighted by load, over a few spans of time. The
network weighs them, the last measurement and the nominal speed, and gives the deviation of the truth around that. It is
fitted to true speeds of training episodes. Played, it reads measurements alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from og_env.simulator import Simulator

Floats = npt.NDArray[np.floating]

RATES = (0.5, 0.2, 0.05)
"""weights of the last step in the running means: spans of two, five and twenty steps"""
COLUMNS = 3 + 2 * len(RATES)
"""columns of a site: the last measured slowness, load and blindness, then by rate the mean and its weight"""
MEMORY = 2 * len(RATES)
"""rows of the memory: sums of slowness by rate, and of weights"""
OCTAVES = 4.0
"""octaves of slowness that show as 1 in a column"""
LEAST_LOAD, LOG_SPAN = 0.003, 6.0
"""load that shows as if it were none, and the span of the logarithm that shows as 1"""
HIDDEN = 24
"""width of the layers: not searched"""
FAITHFUL = 8.0
"""first logit of the last measurement: an untrained filter believes it"""
LOG_DEVIATIONS = (-4.0, 2.0)
"""smallest and largest logarithm of a deviation"""
UPDATES, BATCH, LEARNING_RATE = 3000, 1024, 3e-3
"""of the fit: not searched"""


def remember(memory: Floats, simulator: Simulator) -> Floats:
    """The memory [B, MEMORY, N] after what was measured in the last step; one of zeros has seen nothing."""
    shown, weight = simulator.state.shown_slowness_log2.astype(np.float64), _weight(simulator)
    rates = np.array(RATES)[:, None]
    latest = np.concatenate([rates * (weight * shown)[:, None], rates * weight[:, None]], axis=1)
    return memory * (1 - np.concatenate([rates, rates])) + latest


def columns_of(memory: Floats, simulator: Simulator) -> npt.NDArray[np.float32]:
    """The columns [B, N, COLUMNS] of the sites, of the memory [B, MEMORY, N] and what was measured last."""
    state = simulator.state
    sums, weights = np.split(memory, 2, axis=1)
    last = [state.shown_slowness_log2 / OCTAVES, _logs(state.shown_load), state.blind != 0]
    means = sums / (weights + LEAST_LOAD) / OCTAVES
    parts = [*(column[:, None] for column in last), means, _logs(weights)]
    return np.concatenate(parts, axis=1).swapaxes(1, 2).astype(np.float32)


def _weight(simulator: Simulator) -> Floats:
    """Weights [B, N] of what was measured last: loads, 0 where telemetry fails."""
    state = simulator.state
    return np.where(state.blind != 0, 0.0, np.clip(state.shown_load, 0, 1))


def _logs(load: Floats) -> Floats:
    """Loads on a logarithmic scale, -1 for none and 0 for a full one."""
    return np.log(load + LEAST_LOAD) / LOG_SPAN


class SpeedFilter(nn.Module):
    """The network from columns [..., COLUMNS] to octaves of slowness [...] and their standard deviations [...]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(COLUMNS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())
        self.weighs, self.doubts = nn.Linear(HIDDEN, 2 + len(RATES)), nn.Linear(HIDDEN, 1)
        for layer in (self.weighs, self.doubts):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.weighs.bias[0] = FAITHFUL

    def forward(self, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and standard deviations [...], both in octaves."""
        hidden = self.layers(columns)
        sources = [columns[..., :1], columns[..., 3 : 3 + len(RATES)], torch.zeros_like(columns[..., :1])]
        weights = torch.softmax(self.weighs(hidden), -1)
        mean = OCTAVES * (weights * torch.cat(sources, -1)).sum(-1)
        return mean, self.doubts(hidden)[..., 0].clamp(*LOG_DEVIATIONS).exp()

    def believed(self, columns: torch.Tensor, constants: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
        """Octaves [...] that a router is told, and the standard deviations [...]: a share of the mean and some caution."""
        expected, deviation = self(columns)
        return constants["share"] * expected + constants["caution"] * deviation, deviation

    def fit(self, columns: npt.NDArray[np.float32], truth: Floats, seed: int) -> None:
        """Fit to columns [S, COLUMNS] and the octaves [S] that were true, by the Gaussian likelihood."""
        inputs, targets = torch.as_tensor(columns), torch.as_tensor(truth, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)
        for update in range(UPDATES):
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 - update / UPDATES)
            index = torch.randint(len(inputs), (BATCH,), generator=generator)
            mean, deviation = self(inputs[index])
            loss = (0.5 * ((mean - targets[index]) / deviation).square() + deviation.log()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
