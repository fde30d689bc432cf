"""Scenarios and the facts that they are made of.

A scenario is a TOML file, or tables or a `ScenarioSpec` made in Python. `og_env.scenario.loading` has the functions for it:

- `loading.names()` lists the shipped scenarios.
- `loading.load(scenario)` reads and checks one, by name, path, tables or spec, and returns a `ScenarioSpec`.
- `loading.override(spec, changes)` returns it with other values at dotted keys; `overrides.changes_of` reads such changes
  from words KEY=VALUE.
- `loading.resolve(spec)` returns it with concrete sites, models and user regions, a `ResolvedScenario`.

`og_env.scenario.specs` has the types of all parts, `og_env.scenario.catalog` the facts that are shipped. Every mistake in a
file or a table is a ValueError of one line, which names the file and the key, or the file, the line and the column.
"""
