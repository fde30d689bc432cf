"""A live fleet as JSON: what runs where now. `describe` writes it from an episode, `place` puts it into a simulator.

A file, with everything that may be left out:

    {
      "format": 1,
      "scenario": "global-24",            name, path of a TOML file, or the tables of a scenario
      "hour_utc": 14.25,
      "demand_rps": {"de-frankfurt": 3.1, ...},      present requests/s by user region; those not named ask for nothing
      "demand_mix": {"llama-3.1-8b-bf16": 1.4, ...}, present share of a model over its usual one; 1 where not named
      "replicas": [
        {"model": "llama-3.1-8b-bf16", "site": "aws/us-east-1", "phase": "warm", "load_rps": 1.7, "in_flight": 9},
        {"model": "llama-3.1-8b-bf16", "site": "hetzner/fsn1", "phase": "fetching", "left_gb": 9.5},
        {"model": "llama-3.1-8b-bf16", "site": "ovh/gra", "phase": "loading", "left_s": 240},
        {"model": "llama-3.1-8b-bf16", "site": "gcp/us-central1", "phase": "on_disk"}
      ],
      "roles": [{"role": "verifier", "site": "aws/us-east-1"}, {"role": "store", "site": "ovh/gra", "ready_in_s": 300}],
      "status": {"ovh/gra": ["DOWN"]},    sites that are not well: DOWN, FROZEN, UNTRUSTED, SLOW
      "supply": {"ovh/gra": ["LEAVING"]}, SCARCE, LEAVING (to be withdrawn), TAKEN, NO_LAUNCHES, IMPAIRED, GATEWAY_OFF,
                                          STORE_OFF; as long as it stands here, it lasts
      "refused_s": {"ovh/gra": 900},      how long a site that refused a launch is not tried again
      "undetected_s": {"ovh/gra": 20},    how long the router will go on to use a site that is down
      "measured": {"aws/us-east-1": {"slowness": 1.3, "wait_s": 0.2, "refused_share": 0.01, "load_share": 0.6},
                   "gcp/us-central1": {"blind": true}},    what telemetry says of a site, and whether it fails
      "alarms": {"provider:ovh": 0.4},    error rate of a shared fault domain: 0 calm .. 1 as bad as in a fragile spell
      "alarms_hour": {"provider:ovh": 0.2},    its mean of the last hour; as in `alarms` where this is left out
      "knobs": {"spread": 0.2},           of the router, where they are not the scenario's
      "steer": {"ovh/gra": -1.1},         logarithm of what the router multiplies a site's weight by; 0 where not named
      "steps_done": 1,                    of an episode; a live fleet leaves it out
      "decisions": 2, "changes": 1        operations decided on, and those carried out, since the last step of a scenario
                                          whose steps have several (episode.operations_per_step); 0 where left out
    }

Phases are staging (fetching to disk only), on_disk, fetching (disk first, then GPU), loading and warm; all but the
first two hold GPUs. Where `left_gb` or `left_s` is not given, all of the fetch or load is still to come. `slowness` is the
measured time of service over the nominal one, `load_share` the share of a site's nominal capacity in use; a site that
is measured to be slow is taken to be. What the fleet serves now (latency, load, exposure, and what is measured where
that is not given) is worked out from this, as the simulator has it.
"""

from og_env.simulator.live_state.from_simulator import describe
from og_env.simulator.live_state.json_format import LiveState
from og_env.simulator.live_state.to_simulator import place
