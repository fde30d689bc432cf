"""Shipped settings: which of them og-env train takes by itself."""

from __future__ import annotations

import pytest

from og_agents.commands import train
from og_agents.learning import train_settings


@pytest.mark.parametrize("algorithm", ["ppo", "rpi"])
def test_large_fleets_have_settings_of_their_own(algorithm):
    def settings(*words: str) -> train_settings.TrainSettings:
        return train.fresh(train.parse(["--algorithm", algorithm, *words])).settings

    large = train_settings.load(train_settings.shipped_file("large"))
    assert settings("--scenario", "global-512") == large
    assert settings("--scenario", "global-64") == settings("--scenario", "random-24") == train_settings.load()
    assert large.n_envs * large.branch_moments == train_settings.load().n_envs * train_settings.load().branch_moments
