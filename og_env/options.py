"""What `reset(options=...)` understands."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from og_env.catalog import nearest
from og_env.simulator import Simulator
from og_env.specs import OutageSpec

KNOWN = ("outages",)


def outages_of(options: dict[str, Any] | None, simulator: Simulator) -> tuple[OutageSpec, ...]:
    """The scripted outages of a reset; ValueError in one line for anything that is not understood."""
    if not options:
        return ()
    for key in options:
        if key not in KNOWN:
            raise ValueError(f"reset option {key!r} is unknown; valid are {', '.join(KNOWN)}")
    known = {f"{domain.kind}:{domain.name}" for domain in simulator.compiled[0].all_domains}
    result = []
    for index, given in enumerate(options["outages"]):
        try:
            outage = OutageSpec.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"options.outages[{index}].{where}: {first['msg']}") from None
        if not simulator.random_fleet and outage.domain not in known:
            hint = nearest(outage.domain, sorted(known))
            raise ValueError(
                f"options.outages[{index}].domain: unknown domain {outage.domain!r}"
                + (f"; nearest is {hint!r}" if hint else "")
            )
        result.append(outage)
    return tuple(result)
