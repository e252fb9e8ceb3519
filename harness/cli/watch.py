"""skilldelta watch: scores checkpoints as a training run writes them, keeps a report up to date, and raises an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.progress import PlainProgress
from harness.cli.screen import note, say
from harness.cli.selection import SelectionOptions
from harness.cli.suite_rule import keep_rule
from harness.cli.suite_template import with_suite_template
from harness.cli.trackers import LogTo, log_scores, open_session
from harness.cli.watch_start import announce_start, check_times, find_baseline, next_step
from harness.types import SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.evaluation.outcome import Outcome
    from harness.evaluation.watch_alarm import WatchAlarm
    from harness.store import Results
    from harness.tracking import TrackerSession

ALARM = "What happens when a skill falls"


def alarm_option(*names: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, rich_help_panel=ALARM)
    return option


@dataclass(frozen=True)
class AlarmOptions:
    """Rules on skills, and what is done when one is broken."""

    alarm: Annotated[Path | None, alarm_option("--alarm", text="A policy of `gate`: its regressions raise an alarm.")] = None
    max_drop: Annotated[
        list[str] | None, alarm_option("--max-drop", text="Largest drop: POINTS, SKILL=POINTS or TASK/METRIC=POINTS.")
    ] = None
    on_alarm: Annotated[
        list[str] | None,
        alarm_option(
            "--on-alarm",
            text="end (exit code 1 at once, the default), stop:FILE (written for the trainer to see) or run:COMMAND "
            "(without a shell); may be repeated.",
        ),
    ] = None

    def make(self, results: Results, baseline: str, name: str, tasks: Sequence[Task]) -> WatchAlarm | None:
        """The alarm; None where no rule is named.  SkilldeltaError for rules and actions that cannot be."""
        if not self.alarm and not self.max_drop:
            if self.on_alarm:
                raise SkilldeltaError("--on-alarm needs a rule: --alarm POLICY.yaml or --max-drop POINTS.")
            return None
        if not baseline:
            raise SkilldeltaError("An alarm compares: say with which checkpoint of the results, --baseline NAME.")
        from harness.cli.gate import add_drops
        from harness.comparison import gate
        from harness.evaluation.watch_alarm import AlarmAction, WatchAlarm

        policy = add_drops(gate.read_policy(self.alarm) if self.alarm else gate.Policy(), self.max_drop or [])
        alarm = WatchAlarm(results, baseline, policy, [AlarmAction(text) for text in self.on_alarm or ()], name)
        alarm.check_names(tasks)
        return alarm


@options.with_option_groups
def watch(
    paths: Annotated[list[str], typer.Argument(help="Run folders, or the folder around them; they need not exist yet.")],
    what: options.TaskOptions,
    where: options.DataOptions,
    model: options.ModelOptions,
    generation: options.GenerationOptions,
    confinement: options.ConfinementOptions,
    choice: SelectionOptions,
    alarm_options: AlarmOptions,
    output: options.Output = Path("results"),
    baseline: Annotated[str, typer.Option(help="Compare each new checkpoint with this one in the results at once.")] = "",
    report: Annotated[Path | None, typer.Option(help="A folder: tables, plots and the page, anew for each checkpoint.")] = None,
    log_to: LogTo = None,
    every: Annotated[float, typer.Option(help="Seconds between looks at the folders.")] = 30.0,
    idle: Annotated[float, typer.Option(help="Stop after so many minutes without a new checkpoint; default: never.")] = 0.0,
) -> None:
    """Scores checkpoints while a run trains, even those that it deletes again.  Stop it with Ctrl-C; it can be continued."""
    from harness.evaluation import watch as run
    from harness.store import Results

    if report and not baseline:
        raise SkilldeltaError("--report compares: say with which checkpoint of the results, --baseline NAME.")
    check_times(every, idle)
    tasks, selections = what.choose(model.chat_template)
    keep_rule(what.suite, output)
    settings, loader, results = (
        where.settings(selections=selections, sandbox=confinement.options(), **generation.settings()),
        with_suite_template(model, what.suite).backend().loader(),
        Results.make(output),
    )
    name, baseline = run.watch_name(paths), find_baseline(results, baseline)
    alarm = alarm_options.make(results, baseline, name, tasks)
    announce_start(paths, results, baseline, every)
    links = results.folder / run.LINK_FOLDER / name
    watcher = run.Watch(paths, links, WatchProgress(), every, selection=choice.selection(), results=results)
    follower = Follower(output, baseline, report, None, alarm)
    try:
        with open_session(log_to, output) as follower.session:
            follower.act()
            for outcomes in run.score_new_checkpoints(watcher, tasks, loader, results, settings, 60 * idle or float("inf")):
                if follower.follow(outcomes):
                    break
            else:
                note(f"No new checkpoint for {idle:g} minutes.  {next_step(results, baseline)}")
    except SkilldeltaError as error:
        if follower.exit_code() != 1:
            raise
        note(str(error))  # an alarm is what the caller must hear of, whatever failed after it
    if code := follower.exit_code():
        raise typer.Exit(code)


class WatchProgress(PlainProgress):
    """Plain lines on a terminal too: the command runs for hours unattended."""

    def tell(self, text: str) -> None:
        note(text)


@dataclass
class Follower:
    """What is done after each checkpoint.  Nothing that fails here ends the watch: it is said, and the exit code is 4."""

    output: Path
    baseline: str
    report: Path | None
    session: TrackerSession | None
    alarm: WatchAlarm | None
    failures: int = 0  # cells
    unlogged_outcomes: list[Outcome] = field(default_factory=list)  # what the trackers have not taken yet
    unfinished_work: set[str] = field(default_factory=set)  # what failed last and may be mended by the next checkpoint

    def follow(self, outcomes: Sequence[Outcome]) -> bool:
        """Differences, trackers, the report, the alarm; whether the watch ends here."""
        self.failures += sum(o.state == "failed" for o in outcomes)
        scored_outcomes = [o for o in outcomes if o.state != "failed"]
        if self.baseline:
            print_differences(outcomes, self.output, self.baseline)
        self.log_scores(scored_outcomes)
        self.write_report()
        if not self.alarm or not scored_outcomes:
            return False
        self.alarm.add(scored_outcomes[0].checkpoint)
        return self.act()

    def log_scores(self, outcomes: Sequence[Outcome]) -> None:
        """Writes to the trackers what was scored now, and what could not be written before."""
        self.unlogged_outcomes += outcomes
        try:
            log_scores(self.session, self.unlogged_outcomes, self.output, self.baseline)
            self.unlogged_outcomes = []
        except SkilldeltaError as error:
            note(f"Not logged yet: {error}")

    def write_report(self) -> None:
        """Every report, from all checkpoints that are in the results now."""
        if not self.report:
            return
        from harness import api
        from harness.cli.compare import write_reports

        self.unfinished_work.discard("report")
        try:
            write_reports(api.compare(self.output, self.baseline), self.report)
            note(f"wrote {self.report / 'index.html'}")
        except (SkilldeltaError, OSError) as error:  # a baseline that is not scored yet, a full disk: the next one may succeed
            self.unfinished_work.add("report")
            note(f"{self.report} is not up to date: {error}")

    def act(self) -> bool:
        """Looks at what was not looked at, and does what an alarm asks for; whether a new alarm ends the watch."""
        if not self.alarm:
            return False
        new_alarms = []
        for look in self.alarm.look(note):
            note(f"{look.checkpoint}: {look.answer} (look {look.number}, level {look.alpha:.2g})")
            if look.answer == "regression":
                new_alarms.append(look)
                say(f"ALARM {look.checkpoint}: {'; '.join(look.falls)}")
        self.unfinished_work.discard("alarm")
        if not self.alarm.act(note):
            self.unfinished_work.add("alarm")
        return bool(new_alarms) and self.alarm.ends_watch

    def exit_code(self) -> int:
        """1 after an alarm, also one of an earlier process of this watch; 4 where something failed."""
        if self.alarm and self.alarm.alarms:
            return 1
        pending = self.alarm.pending if self.alarm else []
        return 4 if self.failures or self.unfinished_work or self.unlogged_outcomes or pending else 0


def print_differences(outcomes: Sequence[Outcome], output: Path, baseline: str) -> None:
    """Prints a new checkpoint's differences from the baseline: a line for the average and each skill."""
    from harness import api
    from harness.comparison.number_format import format_difference, format_number

    name = outcomes[0].checkpoint
    if name == baseline:
        return
    try:
        comparison = api.compare(output, baseline, candidates=[name])
    except SkilldeltaError as error:
        note(f"{name}: not compared: {error}")
        return
    for row in (*comparison.at("average"), *comparison.at("skill")):
        if row.checkpoint == name and row.difference:
            say(f"{name}: {row.name} {format_number(row.score)} points, difference {format_difference(row.difference)}")


VERBS = (watch,)
