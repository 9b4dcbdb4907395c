"""`lightpaff distill`: from a teacher and its data to a served student."""

import argparse
import logging
from pathlib import Path

from ..distill.choices import lines_of
from ..distill.plan import Plan, make_plan
from ..distill.plan_file import read_plan, write_plan
from ..distill.runner import Runner, only_process, say
from ..distill.setting_sources import absolute_paths, merge
from ..distill.settings import DistillSettings
from ..distill.summary import summary
from ..flags import add_flags
from ..progress import duration


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Distill a teacher into a student several times smaller, compare both, and export the "
        "student for serving. Prints a plan first: the student's shape, steps, updates, learning "
        "rate and time, each with its reason and the flag that overrides it. The steps are "
        "ordinary commands, in OUT/commands.sh. To continue a stopped run, run the same command "
        "again."
    )
    parser.allow_abbrev = False
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="settings, as --key value"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file of settings")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    group = parser.add_argument_group("settings")
    add_flags(group, DistillSettings)
    for action in group._group_actions:  # a flag that is not given leaves the YAML file's value
        action.help = str(action.help).replace("%(default)s", str(action.default))
        action.default = argparse.SUPPRESS
    parser.set_defaults(func=run, takes_more=True)  # argparse leaves settings between flags


def run(args: argparse.Namespace) -> int:
    """Plan, run the steps, and print the result.

    Raises:
        ValueError: bad settings or files, OUT of other settings, or a step that fails.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    names = DistillSettings.__dataclass_fields__
    given = {name: value for name, value in vars(args).items() if name in names}
    settings = absolute_paths(merge(args.config, given, [*args.overrides, *args.fairseq_flags]))
    plan = read_plan(settings)
    if plan is None:
        say("Planning: reading the teacher and the data, timing this machine (about a minute)")
        plan = make_plan(settings)
    print_plan(plan)
    if args.dry_run:
        return 0
    out = Path(str(settings.out))
    with only_process(out) as lock:
        stored = read_plan(settings)  # perhaps another process was faster
        if stored is None:
            write_plan(settings, plan)
        Runner(out, len(plan.steps), lock).run(stored or plan)
    say(summary(settings))
    return 0


def print_plan(plan: Plan) -> None:
    """Print choices and steps."""
    say("\n".join(["Plan", *lines_of(plan.choices), "Steps"]))
    for number, step in enumerate(plan.steps, start=1):
        minutes = f"about {duration(60 * step.minutes)}" if step.minutes >= 0.1 else ""
        say(f"  {number:>2} {step.name:<18} {step.title:<52} {minutes}".rstrip())
    say(f"  together about {duration(60 * plan.minutes)} on this machine, if nothing else runs")
