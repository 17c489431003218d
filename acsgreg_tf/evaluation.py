"""Methods on a list of pairs: each pair at Initial, Affine and Final (the paper's Tables 1 to 4), means by level.

A method is a network of this package or another tool (`acsgreg_tf.peers`); all are measured by the same code: labels
warped once, linearly, from the moving label map as it was given, and cut at 0.5, on the fixed vertebra's grid.
"""

import csv
import hashlib
import multiprocessing
import os
import signal
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf._files import one_line
from acsgreg_tf.data.cohort import ordered_pairs, read_split
from acsgreg_tf.data.images import Image, as_image, as_label, atomic_path
from acsgreg_tf.data.levels import TABLES
from acsgreg_tf.data.vertebrae import BOX, extract, pick_label
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Composite, affine_from_network, field_from_network, resample_label
from acsgreg_tf.registration import NO_MODEL, STAGES, default_model, load_model, register, run_network

MEASURES = ("dice", "precision", "recall", "assd_mm", "hd95_mm")
SHOWN = {"before": "Initial", "affine": "Affine", "deformable": "Final"}
NUMBERS = (
    *(f"{m}_{s}" for s in STAGES for m in MEASURES), "folds_count", "folds_percent", "central_folds_count",
    "central_folds_percent", "folded_volume_percent", "std_log_jacobian", "network_folds_count", "inverse_error_mm", "seconds",
)  # fmt: skip
KEY = ("method", "fixed", "moving", "level", "label")
COLUMNS = (*KEY, *NUMBERS, "notes", "fault", "made_by")
_LUMBAR = {level: number for level, number in TABLES["verse"].items() if level.startswith("L")}


# pairs


def read_pairs(path):
    """Rows of a pairs file: CSV with the columns fixed, fixed_seg, moving, moving_seg and optionally level and label.

    Relative paths start at the file's own folder. `label` is the vertebra's number in both label maps; without it, a map
    that holds several is asked for VerSe's number of `level`.

    Raises:
        InputError: the file cannot be read, lacks a column, or holds no pair; a label that is no number, or a field that is
            empty.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a list of pairs ({error.__class__.__name__})") from error
    if not rows:
        raise InputError(f"{path}: holds no pair")
    wanted = ("fixed", "fixed_seg", "moving", "moving_seg")
    missing = [name for name in wanted if name not in rows[0]]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}")
    pairs = []
    for number, row in enumerate(rows, start=2):
        row = {name: (row.get(name) or "").strip() for name in (*wanted, "level", "label")}
        empty = [name for name in wanted if not row[name]]
        if empty:
            raise InputError(f"{path}, line {number}: {empty[0]} is empty")
        if row["label"] and not row["label"].isdigit():
            raise InputError(f"{path}, line {number}: label must be a whole number, not {row['label']!r}")
        pairs.append(row | {name: str(path.parent / row[name]) for name in wanted})
    return pairs


def split_pairs(path, part="test", manifest=None):
    """As `read_pairs`, all ordered pairs of one part of a split file (`cohort.write_split`): 90 a level for ten people.

    Args:
        path: of the split.
        part: "train", "val" or "test".
        manifest: path of the cohort's manifest, if it is not where the split says.

    Raises:
        InputError: as `cohort.read_split`, or the part holds no pair.
    """
    pairs = ordered_pairs(getattr(read_split(path, manifest), part))
    if not pairs:
        raise InputError(f"{path}: holds no pair in its part {part}")
    return pair_rows(pairs)


def pair_rows(pairs):
    """(fixed, moving) `cohort.Sample`s as `read_pairs` gives pairs."""
    return [
        {"fixed": f.image, "fixed_seg": f.label, "moving": m.image, "moving_seg": m.label, "level": f.level, "label": ""}
        for f, m in pairs
    ]


# measures


def measure(result):
    """The paper's measures of one Result, and some it lacks, as a flat dict of NUMBERS.

    Folds are counted by forward differences (the paper's convention) and by central ones, the folded volume is Liu et
    al.'s (IJCV 2024). network_folds_count is what the network's own field had by forward differences (NaN for other methods).

    Args:
        result: a `registration.Result` of a pair with labels.
    """
    fixed, spacing = result.fixed.label, result.fixed.grid.spacing
    row = {}
    for stage in STAGES:
        moved = result.labels[stage]
        distance = metrics.surface_distance(fixed, moved, spacing=spacing)
        row |= {
            f"dice_{stage}": metrics.dice(fixed, moved),
            f"precision_{stage}": metrics.precision(fixed, moved),
            f"recall_{stage}": metrics.recall(fixed, moved),
            f"assd_mm_{stage}": distance.assd,
            f"hd95_mm_{stage}": distance.hd95,
        }
    forward, central = (metrics.folds(result.displacement, scheme) for scheme in ("forward", "central"))
    return row | {
        "folds_count": forward.count,
        "folds_percent": forward.percent,
        "central_folds_count": central.count,
        "central_folds_percent": central.percent,
        "folded_volume_percent": metrics.non_diffeomorphic_volume(result.displacement).percent,
        "std_log_jacobian": metrics.std_log_jacobian(result.displacement),
        "network_folds_count": result.summary["folds"].get("network", float("nan")),
        "inverse_error_mm": result.summary["inverse_error_mm"],
        "seconds": sum(result.summary["seconds"].get(stage, 0.0) for stage in ("registering", "refining")),
    }


# methods


@dataclass(frozen=True)
class Network:
    """`acsgreg_tf.register` with one model.

    Args:
        model: path of the network; None is the one that comes with the package, "none" refines from nothing.
        options: what `register` is given besides, as (name, value) pairs, such as a number of refinement steps.
        name: what tables call it; None makes one of the model's file name and the options.
    """

    model: str | None = None
    options: tuple = ()
    name: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "model", str(self.model or default_model()))
        if self.name is None:
            more = "".join(f" {name} {value}" for name, value in self.options)
            object.__setattr__(self, "name", f"{Path(self.model).stem}{more}")

    def made_by(self):
        """What a kept row must have been made by: the content of the model's file, and the options."""
        network = "no network" if self.model == NO_MODEL else f"network {_digest(self.model)}"
        fitted = [] if dict(self.options).get("fit_affine") is False else ["affine fitted to the surfaces"]
        return ", ".join([network, *fitted, *(f"{name}={value}" for name, value in self.options)])

    def check(self):
        """Raise InputError if the model cannot be used."""
        _network(self.model)

    def run(self, pair):
        fixed_seg, moving_seg = _labels(pair)
        result = register(
            pair["fixed"], pair["moving"], model=_network(self.model), fixed_seg=fixed_seg, moving_seg=moving_seg,
            **dict(self.options),
        )  # fmt: skip
        if result.summary.get("refinement", {}).get("stopped"):
            raise KeyboardInterrupt  # Ctrl-C ends the run: a refinement cut short is no measure of the method
        return result


@dataclass(frozen=True)
class Crops:
    """A network on crops as they are, whatever their spacing: the studies' reduced vertebrae.

    Args:
        model: path of the network, whose shape is the crops'.
        name: what tables call it.
    """

    model: str
    name: str

    def made_by(self):
        return f"network {_digest(self.model)}"

    def check(self):
        _network(self.model)

    def run(self, pair):
        fixed, moving = as_image(pair["fixed"]), as_image(pair["moving"])
        fixed_seg, moving_seg = _labels(pair)
        for image, seg in ((fixed, fixed_seg), (moving, moving_seg)):
            if not seg.grid.isclose(image.grid):
                raise InputError(f"{seg.name}: does not lie on the grid of {image.name}")
        network = _network(self.model)
        begun = time.perf_counter()
        found = run_network(network, fixed.data, moving.data)
        seconds = time.perf_counter() - begun
        fixed = SimpleNamespace(image=fixed.data, label=fixed_seg.data > 0, grid=fixed.grid, notes=())
        moving = SimpleNamespace(image=moving.data, grid=moving.grid, number=pick_label(moving_seg), notes=())
        return _outcome(fixed, moving, moving_seg, seconds, found["affine"], found["phi"], found["inverse"])


@dataclass(frozen=True)
class Peer:
    """Another registration tool, one of `peers.PEERS`, on the crops that a network would get."""

    name: str

    def made_by(self):
        from acsgreg_tf.peers import version_of

        return version_of(self.name)

    def check(self):
        from acsgreg_tf.peers import check_peer

        check_peer(self.name)

    def run(self, pair):
        from acsgreg_tf.peers import register_peer

        fixed_seg, moving_seg = _labels(pair)
        fixed = extract(as_image(pair["fixed"]), fixed_seg, shape=BOX)
        moving = extract(as_image(pair["moving"]), moving_seg, shape=BOX)
        found = register_peer(self.name, fixed.image, moving.image)
        return _outcome(fixed, moving, moving_seg, found.seconds, found.affine, found.displacement, found.inverse)


def _outcome(fixed, moving, moving_seg, seconds, affine, phi, inverse):
    """What `measure` needs of an answer in network space: a Result's attributes, without its outputs."""
    affine, start = (affine_from_network(m, fixed.grid, moving.grid) for m in (affine, np.eye(3, 4)))
    transforms = (start, affine, Composite([field_from_network(phi, fixed.grid), affine]))
    one = moving_seg.data == moving.number
    error = float("nan")
    if inverse is not None:
        spacing = fixed.grid.spacing
        error = metrics.inverse_consistency_error(phi, inverse, spacing=spacing, mask=fixed.image > 0).mean
    return SimpleNamespace(
        fixed=fixed,
        labels={s: resample_label(one, moving_seg.grid, fixed.grid, t) for s, t in zip(STAGES, transforms, strict=True)},
        displacement=phi,
        summary={
            "folds": {},
            "inverse_error_mm": error,
            "seconds": {"registering": seconds},
            "warnings": [*fixed.notes, *moving.notes],
        },
    )


def _labels(pair):
    """The fixed and the moving label map with the pair's vertebra alone.

    Its number is the pair's `label`; else, in a map that holds several vertebrae, that of its level in VerSe's table, as in
    a whole scan. A map with one vertebra only, such as a crop's, may call it anything but another lumbar level.
    """
    found = []
    for name in ("fixed_seg", "moving_seg"):
        seg = as_label(pair[name])
        if pair["label"]:
            number = pick_label(seg, int(pair["label"]))
        elif pair["level"] in _LUMBAR:
            number, present = _LUMBAR[pair["level"]], np.unique(seg.data[seg.data > 0])
            alone = len(present) == 1 and present[0] not in _LUMBAR.values()
            number = pick_label(seg, None if alone else number)
        else:
            number = pick_label(seg)
        found.append(Image(np.where(seg.data == number, seg.data, 0), seg.grid, seg.name))
    return found


def _network(path):
    """Each process reads a network once, and again if its file has changed."""
    return NO_MODEL if path == NO_MODEL else _read_network(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else None)


@lru_cache(maxsize=4)
def _read_network(path, written):
    return load_model(path)


def _digest(path):
    if not Path(path).is_file():
        raise InputError(f"{path}: no such model file")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


# the run


def evaluate(methods, pairs, out, processes=1, progress=None):
    """Register each pair with each method and write `out` (CSV, a row a pair) as it goes; what it already holds is kept.

    A pair that fails is a row with its reason in the column `fault`; another run tries it again.

    Args:
        methods: Network, Crops or Peer objects with different names.
        pairs: as `read_pairs` gives them.
        out: CSV path.
        processes: how many work side by side, each with a network of its own. Seconds are comparable between runs of 1.
        progress: called with each finished row.

    Returns:
        The rows: the pairs in order, method after method.

    Raises:
        InputError: a method that cannot run, two methods of one name, a file at `out` that is another table or holds rows of
            another network under the same name, or a process that died (what was done is kept).
    """
    made_by = {method.name: method.made_by() for method in methods}
    if len(made_by) < len(methods):
        raise InputError(f"methods: {', '.join(m.name for m in methods)} are not all different; give models different names")
    tasks = {(method.name, *(pair[name] for name in KEY[1:])): (method, pair) for method in methods for pair in pairs}
    rows = {_key(row): row for row in _read_rows(out)}
    for row in rows.values():
        if row["made_by"] != made_by.get(row["method"], row["made_by"]):
            raise InputError(
                f"{out}: its rows of {row['method']} were made by {row['made_by']}, not {made_by[row['method']]}; "
                "choose another name"
            )
    missing = [task for key, task in tasks.items() if key not in rows or rows[key]["fault"]]
    for method in {task[0] for task in missing}:
        method.check()

    for row in _work(missing, processes):
        row |= {"made_by": made_by[row["method"]]}
        rows[_key(row)] = row
        _write_rows(out, rows.values())
        if progress is not None:
            progress(row)
    # The pairs' order, whichever process was first; rows of other methods stay behind them.
    ordered = {key: rows[key] for key in tasks}
    if missing:
        _write_rows(out, (ordered | rows).values())
    return list(ordered.values())


def _work(tasks, processes):
    """The rows of all tasks, as they come."""
    if processes == 1 or len(tasks) < 2:
        yield from (_row(*task) for task in tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // processes)
    # TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(tasks)), context, _start, (threads,)) as pool:
        waiting = [pool.submit(_row, *task) for task in tasks]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BrokenProcessPool as error:
            raise InputError(f"processes {processes}: one of them died; there may be too little memory for so many") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start(threads):
    """Of each process: its share of the processor, unless the user has set one; Ctrl-C and talking are the first one's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow's first lines heed no setting; faults are in the rows
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(name, str(threads))


def _row(method, pair):
    row = dict.fromkeys(COLUMNS, "") | {name: pair.get(name, "") for name in KEY} | {"method": method.name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is in the notes
            result = method.run(pair)
        return row | measure(result) | {"notes": "; ".join(result.summary["warnings"])}
    except InputError as error:
        return row | {"fault": str(error)}
    except Exception as error:  # another tool's failure, or memory: one pair must not end a night's run
        return row | {"fault": f"{type(error).__name__}: {one_line(error)}"}


def _key(row):
    return tuple(row[name] for name in KEY)


def _read_rows(path):
    if not Path(path).exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error.__class__.__name__})") from error
    if not rows or set(COLUMNS) - set(rows[0]):
        raise InputError(f"{path}: is not a table of this command; choose another name")
    for row in rows:
        if not row["fault"]:
            row |= {name: float(row[name]) for name in NUMBERS}
    return rows


def _write_rows(path, rows):
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


# summaries


def summarise(rows):
    """Means and standard deviations of each method by level.

    Returns:
        {method: {level: {"pairs": number, "failed": number, column: {"mean", "std"}}}} over the rows without a fault; the
        level "all" holds all rows. A measure that a method does not have is NaN. Standard deviations are those of a sample
        (divided by n - 1), NaN for a single pair.
    """
    methods = {}
    for row in rows:
        levels = methods.setdefault(row["method"], {})
        for level in filter(None, dict.fromkeys((row["level"], "all"))):
            levels.setdefault(level, []).append(row)
    return {
        method: {level: _summary(levels[level]) for level in sorted(levels, key=lambda name: (name == "all", name))}
        for method, levels in methods.items()
    }


def _summary(rows):
    good = [row for row in rows if not row["fault"]]
    found = {"pairs": len(good), "failed": len(rows) - len(good)}
    for name in NUMBERS:
        values = np.array([row[name] for row in good], float)
        with np.errstate(invalid="ignore"):  # an infinite distance has no spread
            std = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[name] = {"mean": float(values.mean()) if len(values) else float("nan"), "std": std}
    return found


def tables(summary):
    """The summary as Markdown: for each method the paper's Tables 1 to 4 in one, and if there are several, them compared."""
    parts = [f"### {method}\n\n{_method_table(levels)}" for method, levels in summary.items()]
    if len(summary) > 1:
        parts.append(f"### Methods, all pairs\n\n{comparison(summary)}")
    return "\n\n".join(parts)


def _method_table(levels):
    shown = {"dice": ("Dice", 3), "precision": ("PREC", 3), "recall": ("REC", 3), "assd_mm": ("ASSD mm", 3)}
    heads = [f"{name} {SHOWN[stage]}" for name, _ in shown.values() for stage in STAGES]
    heads = ["", "pairs", *heads, "HD95 mm Final", "folds", "folds %"]
    columns = [(f"{m}_{stage}", digits) for m, (_, digits) in shown.items() for stage in STAGES]
    columns += [("hd95_mm_deformable", 2), ("folds_count", 0), ("folds_percent", 4)]
    lines = []
    for level, found in levels.items():
        failed = f" ({found['failed']} failed)" if found["failed"] else ""
        lines.append([level, f"{found['pairs']}{failed}", *(cell(found[name], digits) for name, digits in columns)])
    return markdown(heads, lines)


def comparison(summary, level="all"):
    """One line a method, Markdown: accuracy, folds and seconds over the same pairs."""
    heads = ["", "pairs", "Dice Initial", "Dice Affine", "Dice Final", "ASSD mm Final", "HD95 mm Final", "folds %",
             "folded volume %", "std log J", "inverse error mm", "seconds"]  # fmt: skip
    columns = [("dice_before", 3), ("dice_affine", 3), ("dice_deformable", 3), ("assd_mm_deformable", 3),
               ("hd95_mm_deformable", 2), ("folds_percent", 4), ("folded_volume_percent", 4), ("std_log_jacobian", 3),
               ("inverse_error_mm", 3), ("seconds", 1)]  # fmt: skip
    lines = []
    for method, levels in summary.items():
        if level in levels:
            found = levels[level]
            failed = f" ({found['failed']} failed)" if found["failed"] else ""
            lines.append([method, f"{found['pairs']}{failed}", *(cell(found[name], digits) for name, digits in columns)])
    return markdown(heads, lines)


def cell(found, digits):
    """{"mean", "std"} as "mean ± std", without what is not known."""
    mean, std = found["mean"], found["std"]
    if np.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if np.isfinite(std) else "")


def markdown(heads, lines):
    """A Markdown table of ready cells."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
