"""register.py: registers one level, several, a spine or a list of pairs, and writes what is asked for."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from acsgreg_tf.cli import anatomy, bids, common, register_spine, register_surfaces, terminal
from acsgreg_tf.cli.register_levels import MergedLabels, levels_table
from acsgreg_tf.cli.register_options import parser
from acsgreg_tf.cli.register_outputs import check_endings, of_level, output_paths, report, title, write_outputs
from acsgreg_tf.cli.register_pairs import run_pairs
from acsgreg_tf.cli.register_report import Report
from acsgreg_tf.errors import InputError
from acsgreg_tf.parallel import import_meanwhile, run_in_threads
from acsgreg_tf.registration import (
    NO_MODEL,
    STEPS,
    Engine,
    Options,
    Result,
    Scan,
    Selection,
    load_engine,
    read_scan,
    register,
    select,
    shared_levels,
    side_by_side,
)
from acsgreg_tf.registration.compile_ahead import compile_ahead

# The level's name, or None where it has none: the chosen vertebra in the fixed and in the moving scan.
Scans = dict[str | None, tuple[Scan, Scan]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    options = parser()
    options.set_defaults(command=common.command_line("register", arguments))
    return common.run(register_files, options, arguments)


def register_files(options: Namespace) -> int:
    """Register the files that the parsed options name, one level, several or a list of pairs, and write the outputs.

    Returns:
        The exit code: with `strict`, `common.DOUBT` where a registration is doubtful, else 0.
    """
    if options.pairs is not None:
        return run_pairs(options)
    _check(options)
    compile_ahead()
    if options.figure is not None:
        import_meanwhile("matplotlib.figure", "matplotlib.backends.backend_agg")
    if options.spine:
        sides = _read_sides(options)
        return register_spine.register_files(
            options, sides, _selection(options, None), _inputs(options), lambda: _engine(options)
        )
    scans = _read(options)
    paths = {level: output_paths(options, level if options.levels else None) for level in scans}
    for level in scans:
        common.check_outputs(paths[level] | _jacobian_path(options, level), _inputs(options))
    page = Report(options, _inputs(options))
    merged = MergedLabels(of_level(options.moved_seg, "all") if len(scans) > 1 else None)
    common.check_outputs({"--moved-seg": merged.path}, _inputs(options))
    summaries = {}
    with _Progress(levels=len(scans), refined=_chosen(options).refines) as progress:
        progress.show("starting")
        model = NO_MODEL if options.model == NO_MODEL else _engine(options, keep=len(scans) > 1)
        for level, result in _registered(options, scans, model, progress):
            fixed, moving = scans[level]
            result.summary["model"] = str(options.model)
            transforms = {"affine": result.affine, "deformable": result.transform}
            labels = ((scan.label_map, scan.number) for scan in (fixed, moving))
            result.summary.update(anatomy.measure(options, tuple(labels), transforms))
            if register_surfaces.takes_surface(options):
                register_surfaces.write_moved_surface(options, result.inverse)
                paths[level]["--moved"] = None
            progress.show("drawing")
            write_outputs(result, paths[level], moving.image.grid)
            tqdm.write(report(result.summary), file=sys.stdout)
            bids.write_sidecars(options, paths[level])
            for path in _jacobian_path(options, level).values():
                register_spine.write_jacobian(path, result.transform, result.moved.grid)
            page.add(result, fixed, moving, level)
            merged.add(result)
            summaries[level or ""] = result.summary
            if result.summary.get("refinement", {}).get("stopped"):
                break
    page.write()
    if len(summaries) > 1:
        merged.write()
        tqdm.write(levels_table(summaries), file=sys.stdout)
    if result.summary.get("refinement", {}).get("stopped"):
        tqdm.write("stopped: the best so far is written", file=sys.stderr)
        raise KeyboardInterrupt
    return common.DOUBT if options.strict and any(summary["flags"] for summary in summaries.values()) else 0


def _registered(
    options: Namespace, scans: Scans, model: Engine | str, progress: "_Progress"
) -> Iterator[tuple[str | None, Result]]:
    """Register the levels, several side by side; each yields in its turn, after its title and its warnings."""

    def announce(level: str | None) -> None:
        fixed, moving = scans[level]
        tqdm.write(title(fixed.image.name, moving.image.name, level), file=sys.stdout)

    def work(level: str | None) -> tuple[Result, list[str]]:
        with common.holding_warnings() as messages:
            return _register(options, scans[level], model, level, progress.of(level)), messages

    if len(scans) == 1:
        for level in scans:
            announce(level)
            yield level, _register(options, scans[level], model, level, progress.of(level))
        return
    threads, shown = side_by_side(None if isinstance(model, str) else model), set[str]()
    for level, (result, messages) in run_in_threads(work, scans, threads, progress.stop):
        announce(level)
        for message in messages:
            if message not in shown:
                common.warn(message)
        # What holds for a whole scan is shown once; a doubt is of its level, in whatever words.
        shown.update(result.summary["warnings"])
        yield level, result


def _register(
    options: Namespace, scans: tuple[Scan, Scan], model: Engine | str, level: str | None, progress: "_LevelProgress"
) -> Result:
    return register(
        *scans,
        model=model,
        level=level,
        fit_affine=options.fit_affine,
        refine=options.refine,
        smoothness=options.smoothness,
        parts_weight=options.parts_weight,
        transform=options.transform,
        progress=progress.step,
        refine_progress=progress.refinement,
    )


class _Progress:
    """One live line on a terminal; elsewhere nothing, since the titles say how far it is."""

    def __init__(self, levels: int, refined: bool) -> None:
        steps = levels * (len(STEPS) - (not refined))
        line = "{percentage:3.0f}% {bar:20} {elapsed} {desc}"
        self.bar = tqdm(total=steps, bar_format=line, leave=False, disable=terminal.hides_bars())
        self.stopped = False

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self.bar.close()

    def of(self, level: str | None) -> "_LevelProgress":
        return _LevelProgress(self, level)

    def show(self, text: str) -> None:
        self.bar.set_description_str(text)

    def stop(self) -> None:
        """Make levels in other threads end soon: at the best so far where they are refined, else with an error."""
        self.stopped = True


class _LevelProgress:
    """One level on the line."""

    def __init__(self, whole: _Progress, level: str | None) -> None:
        self.whole, self.prefix, self.ending = whole, f"{level}: " if level else "", False

    def step(self, name: str) -> None:
        if self.whole.stopped and not self.ending:
            raise KeyboardInterrupt
        self.whole.show(self.prefix + name)
        self.whole.bar.update()

    def refinement(self, done: int, total: int, objective: float) -> None:
        if self.whole.stopped:
            self.ending = True
            raise KeyboardInterrupt
        self.whole.show(f"{self.prefix}refining {done}/{total}, objective {objective:.4f}")


def _chosen(options: Namespace) -> Options:
    return Options(options.fit_affine, options.refine, options.smoothness, options.transform, options.parts_weight)


def _selection(options: Namespace, level: str | None) -> Selection:
    return Selection(options.label, level, options.table, options.moving_label, options.moving_table)


def _check(options: Namespace) -> None:
    """Raise InputError for what is wrong before any image is read."""
    sides = [side for side in ("fixed", "moving") if getattr(options, side) is None]
    missing = [f"--{side}" for side in sides if getattr(options, f"{side}_seg") is None]
    if missing:
        need = f"the following arguments are required: {', '.join(missing)}"
        raise InputError(f"{need} (or a label map alone, --fixed-seg, --moving-seg; or --pairs; see --help)")
    if sides and options.bids is not None:
        raise InputError(f"--bids {options.bids}: needs --{sides[0]}, whose name says what it shows")
    bids.name_outputs(options)
    for name, unset in (("out", None), ("dask", None), ("jobs", 1)):
        if getattr(options, name) != unset:
            raise InputError(f"--{name} {getattr(options, name)}: goes with --pairs")
    register_surfaces.check(options)
    check_endings(options)
    register_spine.check(options)
    anatomy.check(options)
    if options.levels is not None and options.fixed_points is not None and not options.spine:
        raise InputError(f"--levels {options.levels}: landmarks are those of one vertebra; give --level")
    if options.moved_seg is not None and options.moving_seg is None:
        raise InputError(f"{options.moved_seg}: --moved-seg needs --moving-seg")
    if options.levels is not None and (options.fixed_seg is None or options.moving_seg is None):
        raise InputError(f"--levels {options.levels}: needs --fixed-seg and --moving-seg")
    if options.spine and (options.fixed_seg is None or options.moving_seg is None):
        raise InputError("--spine: needs --fixed-seg and --moving-seg")
    register_surfaces.choose_model(options)
    if options.model == NO_MODEL and not options.fit_affine:
        raise InputError("--no-fit-affine: goes with a network")
    selection = _selection(options, options.level or options.levels or ("all" if options.spine else None))
    selection.check(options.fixed_seg is not None, options.moving_seg is not None)
    _chosen(options).check_model(options.model)
    for path in _inputs(options):
        if path is not None and not Path(path).exists():
            raise InputError(f"{path}: no such file")
    _warn_of_one_vertebra(options)
    if options.spine:
        common.check_outputs(register_spine.paths_of(options), _inputs(options))
    elif options.levels is None:
        common.check_outputs(output_paths(options, None) | _jacobian_path(options, None), _inputs(options))


def _jacobian_path(options: Namespace, level: str | None) -> dict[str, str]:
    """{option: path} of the Jacobian, where it is asked for."""
    path = of_level(options.jacobian, level if options.levels else None)
    return {} if path is None else {"--jacobian": str(path)}


def _warn_of_one_vertebra(options: Namespace) -> None:
    """Warn where fixed and moving are one and the same: the result would show nothing."""
    fixed, moving = options.fixed or options.fixed_seg, options.moving or options.moving_seg
    one_file = Path(fixed).samefile(moving)
    if one_file and options.moving_label in (None, options.label) and options.moving_table in (None, options.table):
        common.warn(f"{moving}: is both --fixed and --moving")


def _engine(options: Namespace, keep: bool = True) -> Engine:
    """The network, on Keras where a GPU is asked for; Keras's backend is started only if it is what computes."""
    return load_engine(options.model, common.start_engine(options), keep)


def _read(options: Namespace) -> Scans:
    """Read both scans, and choose the vertebra of each level in them."""
    fixed, moving = _read_sides(options)
    levels: list[str | None] = [options.level]
    if options.levels is not None:
        levels = [*shared_levels(options.levels, fixed, moving, _selection(options, None))]
    return {level: select(fixed, moving, _selection(options, level)) for level in levels}


def _read_sides(options: Namespace) -> tuple[Scan, Scan]:
    fixed_parts, moving_parts = anatomy.parts_to_refine(options)
    fixed = read_scan(options.fixed, options.fixed_seg, options.fixed_ignore, fixed_parts)
    return fixed, read_scan(options.moving, options.moving_seg, options.moving_ignore, moving_parts)


def _inputs(options: Namespace) -> list[str | None]:
    model = None if options.model == NO_MODEL else options.model
    others = [getattr(options, name) for name in anatomy.FILES]
    labels = [options.fixed_seg, options.moving_seg, options.fixed_ignore, options.moving_ignore]
    return [options.fixed, options.moving, *labels, model, *others]
