"""PPO with invalid-action masking in one file of plain torch, as CleanRL does it; needs torch only.

python scripts/examples/cleanrl_ppo.py --scenario global-16 --timesteps 200000
"""

import argparse
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from og_env.vector_env import NetworkVectorEnv

ENVS, STEPS, EPOCHS, MINIBATCH, RATE = 16, 32, 4, 128, 1e-3
GAMMA, LAMBDA, CLIP, ENTROPY, SCALE = 0.98, 0.95, 0.2, 0.003, 10.0


def network(*widths: int) -> nn.Module:
    """A plain network with these widths."""
    return nn.Sequential(*(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())))[:-1]


def look(nets: nn.ModuleDict, seen: Tensor, mask: Tensor) -> tuple[Categorical, Tensor]:
    """Distribution of actions [B, A] and values [B]."""
    return Categorical(logits=nets["actor"](seen).masked_fill(~mask, -1e8)), nets["critic"](seen).squeeze(-1)


def collect(env: NetworkVectorEnv, nets: nn.ModuleDict, seen: Tensor) -> tuple[list[Tensor], Tensor]:
    """Columns [STEPS, ENVS, ...]: observation, mask, action, log probability, value, reward, end, value at the end."""
    rows = []
    for _ in range(STEPS):
        pi, value = look(nets, seen, mask := torch.from_numpy(env.action_masks()))
        action = pi.sample()
        after, reward, _, ended, info = env.step(action.numpy())  # an end is a cut: what follows is worth something
        final = nets["critic"](torch.from_numpy(info["final_obs"])).squeeze(-1) if ended.any() else torch.zeros(ENVS)
        rows.append((seen, mask, action, pi.log_prob(action), value, Tensor(reward), torch.from_numpy(ended), final))
        seen = torch.from_numpy(after)
    return [torch.stack(column) for column in zip(*rows, strict=True)], seen


def loss(
    nets: nn.ModuleDict, seen: Tensor, mask: Tensor, action: Tensor, old: Tensor, gain: Tensor, target: Tensor
) -> Tensor:
    """PPO's clipped loss of a minibatch, with the value error and the entropy."""
    (pi, value), gain = look(nets, seen, mask), (gain - gain.mean()) / (gain.std() + 1e-8)
    ratio = (pi.log_prob(action) - old).exp()
    better = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
    return 0.5 * (value - target).pow(2).mean() - better - ENTROPY * pi.entropy().mean()


def main(arguments: list[str] | None = None) -> list[float]:
    """Train, and return the mean reward of a step in every update."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--scenario", "global-16"), ("--timesteps", 200_000)):
        parser.add_argument(name, type=type(default), default=default)
    parser.add_argument("--short", action="store_true", help="two updates, to see that it runs")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    env = NetworkVectorEnv(ENVS, scenario=options.scenario, flatten=True)
    width, choices = env.single_observation_space.shape[0], int(env.single_action_space.n)  # type: ignore[attr-defined]
    nets = nn.ModuleDict({"actor": network(width, 64, 64, choices), "critic": network(width, 64, 64, 1)})
    optimizer = torch.optim.Adam(nets.parameters(), RATE, eps=1e-5)
    seen, means = torch.from_numpy(env.reset(seed=0)[0]), []
    for number in range(2 if options.short else options.timesteps // (ENVS * STEPS)):
        with torch.no_grad():
            (*batch, values, rewards, ended, finals), seen = collect(env, nets, seen)
            following, running, gains = nets["critic"](seen).squeeze(-1), torch.zeros(ENVS), torch.zeros(STEPS, ENVS)
        means.append(float(rewards.mean()))
        for t in reversed(range(STEPS)):
            delta = (rewards[t] - means[0]) * SCALE + GAMMA * torch.where(ended[t], finals[t], following) - values[t]
            gains[t] = running = delta + GAMMA * LAMBDA * torch.where(ended[t], 0.0, running)
            following = values[t]
        flat = [part.flatten(0, 1) for part in (*batch, gains, gains + values)]
        for chosen in (rows for _ in range(EPOCHS) for rows in torch.randperm(ENVS * STEPS).split(MINIBATCH)):
            optimizer.zero_grad()
            loss(nets, *(part[chosen] for part in flat)).backward()
            nn.utils.clip_grad_norm_(nets.parameters(), 0.5)
            optimizer.step()
        print(f"update {number}: mean reward of a step {means[-1]:.4f}")
    return means


if __name__ == "__main__":
    main()
