"""Train variants of the learner and of the world, and hold all of them against baselines and the full recipe.

python scripts/ablations.py --scenario one-cloud --variants all --seeds 0,1 --timesteps 200000 --episodes 200
python scripts/ablations.py --scenario one-cloud --variants no-prior,twin --out runs/ablations
python scripts/ablations.py --scenario one-cloud --only-report

Every training is og-env train in a process of its own. A run that is complete with the same settings is not trained
again, so a study that was stopped goes on with the same command.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.studies.ablations import VARIANTS, Study, chosen, states_for
from og_env import errors
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.text_files import write_text

TRAIN = Path(__file__).resolve().parent / "train.py"
STOPPED = 130
"""exit code of a training that Ctrl-C ended"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    return guarded(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--scenario", default="one-cloud", metavar="S", help="name or file (default: one-cloud)")
    parser.add_argument("--variants", default="all", metavar="all|A,B", help=f"of {', '.join(VARIANTS)} (default: all)")
    parser.add_argument("--seeds", default="0,1", metavar="K,L", help="training seeds (default: 0,1)")
    parser.add_argument("--timesteps", type=int, default=200_000, metavar="N", help="of each PPO run (default: 200000)")
    parser.add_argument(
        "--states", type=int, metavar="N", help="of each rpi run (default: in the proportion of the settings)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML with other settings for every variant")
    parser.add_argument("--episodes", type=int, default=200, metavar="N", help="held-out episodes (default: 200)")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="trainings at a time (default: 2)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/ablations"),
        metavar="DIR",
        help="a folder SCENARIO in it holds the study",
    )
    parser.add_argument("--only-report", action="store_true", help="train nothing: report the runs that are complete")
    options = parser.parse_args(arguments)
    for name in ("timesteps", "states", "episodes", "side_by_side"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} is {value}; it must be 1 or more")
    words = options.seeds.split(",")
    if not all(word.isdecimal() and int(word) < 2**32 for word in words) or len(set(map(int, words))) < len(words):
        parser.error(f"--seeds is {options.seeds!r}; it must be different whole numbers, such as 0,1")
    return options


def _run(options: argparse.Namespace) -> int:
    study = study_of(options)
    try:
        if not options.only_report:
            for wave in study.waves():
                train_all(study, wave, options.side_by_side)
        report(study, options.episodes)
    except KeyboardInterrupt:
        tell("stopped: complete trainings are kept, and the same command goes on")
        return STOPPED
    return 0


def report(study: Study, episodes: int) -> None:
    """Play everything, write the files, print the table."""
    from og_agents.learning.checkpoint import write_json
    from og_agents.studies import ablation_table

    summary = ablation_table.measure(study, episodes, tell)
    study.out.mkdir(parents=True, exist_ok=True)
    write_json(study.out / "summary.json", summary)
    table = ablation_table.table_csv(summary)
    write_text(study.out / "table.csv", table)
    print(ablation_table.text(summary))
    print(f"study: {study.out / 'summary.json'}, {study.out / 'table.csv'}")


def study_of(options: argparse.Namespace) -> Study:
    """The study that the options ask for, checked before anything heavy is loaded or trained."""
    spec = loading.load(options.scenario)
    study = Study(
        scenario=options.scenario,
        spec=spec,
        variants=chosen(options.variants.split(",")),
        seeds=tuple(map(int, options.seeds.split(","))),
        timesteps=options.timesteps,
        states=options.states or states_for(options.timesteps),
        out=options.out / spec.name,
        settings=options.config,
    )
    for variant in study.shown():
        study.settings_of(variant)
    if study.out.exists() and not study.out.is_dir():
        raise ValueError(f"{study.out}: is a file, not a folder")
    if spec.fleet == "fixed":
        errors.import_extra("highspy")  # of the planners, which play last
    return study


def train_all(study: Study, variants: Sequence[str], side_by_side: int) -> None:
    """Do the trainings that are not complete, all variants of a seed before the next; ValueError where one fails."""
    from og_agents.studies.ablation_runs import lacking, words_of

    jobs: list[tuple[str, list[str]]] = []
    for seed in study.seeds:
        for variant in variants:
            name = study.folder(variant, seed).name
            reason = lacking(study, variant, seed)
            tell(f"{name}: {'complete' if reason is None else f'to train ({reason})'}")
            if reason is not None:
                jobs.append((name, words_of(study, variant, seed)))
    pool = ThreadPoolExecutor(side_by_side)
    try:
        codes = list(pool.map(lambda job: train(*job), jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    if STOPPED in codes:
        raise KeyboardInterrupt
    if any(codes):
        name, words = jobs[next(index for index, code in enumerate(codes) if code)]
        raise ValueError(f"{name}: og-env train {' '.join(words)} did not end well: see its message above")


def train(name: str, words: Sequence[str]) -> int:
    """Do one training in a process of its own; returns its exit code."""
    begin = time.perf_counter()
    command = [sys.executable, str(TRAIN), *words, "--quiet"]
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
    if code == 0:
        tell(f"{name}: trained in {time.perf_counter() - begin:.0f} s")
    return code


def tell(line: str) -> None:
    """Print a line of progress on stderr, apart from the table."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
