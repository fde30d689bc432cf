"""The tape: all randomness of an episode, drawn at reset as a function of the world and a seed.

`tape_world` gathers what drawing needs of a compiled world, and `drawn_tapes` draws a tape [B = 1] for each of some
seeds. `WARM_UP_H` are the hours simulated before the first row, so that outages are in progress there.
`preferred_weights` are a scenario's weights of the reward under a preference, and `RESILIENCE` the terms that a
preference for resilience multiplies.
"""

from __future__ import annotations

from og_env.kernel.arrays import WARM_UP_H
from og_env.tape.draw import TapeWorld, drawn_tapes, tape_world
from og_env.tape.reward_weights import RESILIENCE
from og_env.tape.reward_weights import weights as preferred_weights
