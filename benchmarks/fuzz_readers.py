"""Damages files of every format that is read, and looks for readers that do not refuse them in one line.

    nice python benchmarks/fuzz_readers.py --files 10000 --seed 1 --processes 2 --findings findings

File N of a seed is always the same: `--first N --files 1` makes it again. A reader must return or raise InputError, in
CPU_SECONDS and EXTRA_BYTES of memory. Readers run in processes that are used again until one of them ends by a crash;
that file is then read once more as users read it, where a process of its own may catch the crash (io.isolated). What is
left is a finding: its file is kept in --findings, and the exit code is 1.
"""

import argparse
import collections
import multiprocessing
import multiprocessing.connection
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from acsgreg_tf.errors import InputError

CPU_SECONDS = 20
WALL_SECONDS = 600  # of a machine that is busy with other work
EXTRA_BYTES = 2 * 2**30
ADDRESSES = 8 * 2**30

NUMBERS = ["0", "-1", "1e308", "-1e-320", "nan", "inf", "2147483648", "4294967297", "18446744073709551616", "1" * 400]
INTEGERS = [0, 1, -1, 127, 128, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, -(2**63)]


# === files as tools write them ===


def write_seeds(folder: Path) -> list[Path]:
    """Small whole files of each format, sorted."""
    rng = np.random.default_rng(0)
    _write_images(folder, rng)
    _write_transforms(folder, rng)
    _write_points(folder)
    _write_surfaces(folder)
    return sorted(path for path in folder.iterdir() if path.is_file())


def _write_images(folder: Path, rng: np.random.Generator) -> None:
    import nibabel as nib
    import SimpleITK as sitk

    data = rng.integers(-1000, 1500, (6, 7, 5)).astype(np.int16)
    affine = np.array([[0, -1.2, 0, 5], [0.9, 0, 0.1, -7], [0, 0.1, 1.5, 30], [0, 0, 0, 1.0]])
    scaled = nib.Nifti1Image(data, affine)
    scaled.header.set_slope_inter(2, -3)
    nib.save(scaled, folder / "image-scaled.nii")
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), folder / "image.nii.gz")
    nib.save(nib.Nifti2Image(data, affine), folder / "image-2.nii")
    image = sitk.GetImageFromArray(data)
    for name, packed in (("raw", False), ("packed", True)):
        for ending in ("nrrd", "mha"):
            sitk.WriteImage(image, str(folder / f"image-{name}.{ending}"), packed)


def _write_transforms(folder: Path, rng: np.random.Generator) -> None:
    import SimpleITK as sitk

    from acsgreg_tf.geometry import Affine, Composite, DenseField, Grid
    from acsgreg_tf.io.transforms import to_sitk_transform, write_transform

    grid = Grid((8, 8, 9), np.diag([2.0, 2, 2, 1]))
    field = DenseField(rng.normal(0, 0.5, (8, 8, 9, 3)).astype(np.float32), grid)
    affine = Affine(np.array([[1, 0.1, 0, 3], [0, 1.1, 0, -4], [0.05, 0, 0.9, 1], [0, 0, 0, 1]]))
    both = Composite([field, affine])
    for ending in (".h5", ".nii.gz", ".npz", ".nii"):
        write_transform(folder / f"transform{ending}", both, grid)
    for ending in (".tfm", ".txt", ".npy"):
        write_transform(folder / f"transform{ending}", affine)
    sitk.WriteTransform(to_sitk_transform(both), str(folder / "transform-itk.h5"))


def _write_points(folder: Path) -> None:
    (folder / "points.csv").write_text("name,x,y,z\na,1.5,-2,3\nb,4,5e1,6\n")
    (folder / "points.fcsv").write_text(
        "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n# columns = id,x,y,z,ow,label\n"
        "1,1.5,-2,3,1,F-1\n2,4,5,6,1,F-2\n"
    )
    (folder / "points.mrk.json").write_text(
        '{"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": '
        '[{"id": "1", "label": "F-1", "position": [1.5, -2.0, 3.0], "positionStatus": "defined"}, '
        '{"id": "2", "position": [4.0, 5.0, 6.0]}], "measurements": []}]}'
    )
    (folder / "table.csv").write_text("image,label,person,level,number\nct.nii.gz,seg.nii.gz,p,L1,20\n")


def _write_surfaces(folder: Path) -> None:
    from vtkmodules.vtkFiltersSources import vtkSphereSource
    from vtkmodules.vtkIOGeometry import vtkSTLWriter
    from vtkmodules.vtkIOLegacy import vtkPolyDataWriter
    from vtkmodules.vtkIOPLY import vtkPLYWriter

    sphere = vtkSphereSource()
    for ending, kind in (("stl", vtkSTLWriter), ("ply", vtkPLYWriter), ("vtk", vtkPolyDataWriter)):
        for name in ("ascii", "binary"):
            writer = kind()
            writer.SetFileName(str(folder / f"surface-{name}.{ending}"))
            writer.SetInputConnection(sphere.GetOutputPort())
            writer.SetFileTypeToASCII() if name == "ascii" else writer.SetFileTypeToBinary()
            writer.Write()


# === damage ===


def damaged(seeds: list[Path], seed: int, number: int) -> tuple[str, bytes]:
    """File `number` of a seed: (name of the whole file, damaged content)."""
    rng = np.random.default_rng([seed, number])
    source = seeds[number % len(seeds)]
    content = source.read_bytes()
    inside = source.name.endswith(".gz") and rng.random() < 0.7
    if inside:
        import gzip

        content = gzip.decompress(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        content = _damage(bytearray(content), rng, seeds)
    if inside:
        content = gzip.compress(content, 1, mtime=0)
    return source.name, content


def _damage(content: bytearray, rng: np.random.Generator, seeds: list[Path]) -> bytes:
    """The content after one of the ways in which files are damaged; headers, at the start, more often."""
    if not content:
        return bytes(content)
    end = len(content) if rng.random() < 0.4 else min(len(content), 700)
    at, way = int(rng.integers(end)), rng.integers(8)
    length = int(rng.choice([1, 2, 4, 8, 64, 1000]))
    if way == 0:
        for place in rng.integers(end, size=rng.choice([1, 3, 30])):
            content[place] ^= 1 << rng.integers(8)
    elif way == 1:
        content[at : at + length] = rng.bytes(length)
    elif way == 2:
        del content[at : None if rng.random() < 0.5 else at + length]
    elif way == 3:
        content[at:at] = content[at : at + length]
    elif way == 4:
        width, value = int(rng.choice([2, 4, 8])), int(rng.choice(len(INTEGERS)))
        order = "little" if rng.random() < 0.7 else "big"
        content[at : at + width] = (INTEGERS[value] % 256**width).to_bytes(width, order)
    elif way == 5:
        return _other_number(bytes(content), rng)
    elif way == 6:
        kind = rng.choice(["<f4", "<f8", ">f4"])
        value = np.array(rng.choice([np.nan, np.inf, -1e30, 1e-30, 0, 3e38]), kind).tobytes()
        content[at : at + len(value)] = value
    else:
        other = seeds[rng.integers(len(seeds))].read_bytes()
        content[at:] = other[int(rng.integers(len(other))) :]
    return bytes(content)


def _other_number(content: bytes, rng: np.random.Generator) -> bytes:
    """Another number in place of one that is written as text."""
    import re

    places = [match.span() for match in re.finditer(rb"-?\d+(\.\d+)?", content[:3000])]
    if not places:
        return content
    start, stop = places[rng.integers(len(places))]
    return content[:start] + NUMBERS[rng.integers(len(NUMBERS))].encode() + content[stop:]


# === readers ===


def read(path: Path) -> None:
    """Read a file as the commands do, and use what came back."""
    from acsgreg_tf.io.images import read_image, read_label
    from acsgreg_tf.io.points import read_points
    from acsgreg_tf.io.surfaces import read_surface
    from acsgreg_tf.io.tables import read_table
    from acsgreg_tf.io.transforms import read_transform

    kind = path.name.split(".")[0].split("-")[0]
    if kind == "image":
        read_image(path)
        read_label(path)
    elif kind == "transform":
        read_transform(path).apply(np.ones((3, 3)))
    elif kind == "table":
        read_table(path, ("image", "label"), "a list")
    else:
        body = (read_points if kind == "points" else read_surface)(path)
        body.write(path.with_name(f"out-{path.name}"), body.points + 1)


def serve(connection: multiprocessing.connection.Connection, isolate: bool) -> None:
    """Read the files that come through `connection` and answer (outcome, text, seconds, bytes)."""
    from contextlib import nullcontext

    from acsgreg_tf.io.isolated import in_this_process

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, -1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder, nullcontext() if isolate else in_this_process():
        while (task := connection.recv()) is not None:
            name, content = task
            path = Path(folder) / name
            path.write_bytes(content)
            before, began = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
            resource.setrlimit(resource.RLIMIT_CPU, (int(began) + CPU_SECONDS + 1, -1))
            outcome, text = "read", ""
            try:
                read(path)
            except InputError as error:
                text = str(error)
                one_line = "\n" not in text and str(path) in text
                outcome = "refused" if one_line else "FINDING: a message without the file or of several lines"
            except BaseException:
                outcome, text = "FINDING: an exception", traceback.format_exc()
            grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss)
            if grown > EXTRA_BYTES:
                outcome = "FINDING: memory"
            connection.send((outcome, text, time.process_time() - began, grown))


class Reader:
    """A process that reads files, one at a time, and is started again when it has crashed."""

    def __init__(self, isolate: bool = False) -> None:
        self.isolate = isolate
        self.number = -1
        self.start()

    def start(self) -> None:
        # Forked from a server that has loaded the readers and nothing else: a crash costs no second of imports.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["acsgreg_tf.io.surfaces", "acsgreg_tf.io.images", "acsgreg_tf.io.points"])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.isolate), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, number: int, name: str, content: bytes) -> None:
        self.number, self.name, self.content, self.since = number, name, content, time.monotonic()
        self.connection.send((name, content))

    def outcome(self) -> tuple[str, str, float, int]:
        """What became of the file that was sent; starts the process again where it ended."""
        try:
            if self.connection.poll(max(0.0, self.since + WALL_SECONDS - time.monotonic())):
                return self.connection.recv()
        except (EOFError, ConnectionError):
            pass
        self.process.kill()
        self.process.join()
        code = self.process.exitcode
        self.start()
        return f"FINDING: the process ended ({code})", "", 0.0, 0

    def close(self) -> None:
        self.process.kill()
        self.process.join()


# === the run ===


def fuzz(options: argparse.Namespace) -> int:
    """Read all files; prints a table and returns the number of findings."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = write_seeds(Path(folder))
        numbers = iter(range(options.first, options.first + options.files))
        readers = [Reader() for _ in range(options.processes)]
        table: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        slowest, largest, done, began = 0.0, 0, 0, time.monotonic()

        def send(reader: Reader) -> bool:
            number = next(numbers, None)
            if number is None:
                reader.number = -1
                return False
            reader.send(number, *damaged(seeds, options.seed, number))
            return True

        busy = [reader for reader in readers if send(reader)]
        while busy:
            ready = multiprocessing.connection.wait([reader.connection for reader in busy], WALL_SECONDS)
            for reader in [r for r in busy if r.connection in ready or not ready]:
                outcome, text, seconds, grown = reader.outcome()
                if outcome.startswith("FINDING: the process") or outcome == "FINDING: memory":
                    outcome, text = as_users_read_it(reader)
                if outcome.startswith("FINDING"):
                    report(options, reader, outcome, text)
                slowest, largest, done = max(slowest, seconds), max(largest, grown), done + 1
                table[reader.name][outcome] += 1
                if done % 500 == 0:
                    print(f"{done} files in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
                if not send(reader):
                    busy.remove(reader)
        for reader in readers:
            reader.close()
    outcomes = sorted({outcome for counter in table.values() for outcome in counter})
    print("| file | " + " | ".join(outcomes) + " |\n|---" + "|---" * len(outcomes) + "|")
    for name in sorted(table):
        print(f"| {name} | " + " | ".join(str(table[name][outcome]) for outcome in outcomes) + " |")
    findings = sum(n for counter in table.values() for outcome, n in counter.items() if outcome.startswith("FINDING"))
    print(
        f"\n{done} files of seed {options.seed} from {options.first} on, {findings} findings; in a reader's own "
        f"process {slowest:.1f} s of processor time and {largest / 2**20:.0f} MiB at most; "
        f"{time.monotonic() - began:.0f} s in all"
    )
    return findings


def as_users_read_it(reader: Reader) -> tuple[str, str]:
    """The outcome where a process of its own may catch a crash."""
    again = Reader(isolate=True)
    again.send(reader.number, reader.name, reader.content)
    outcome, text, *_ = again.outcome()
    again.close()
    if outcome.startswith("FINDING"):
        return outcome, text
    return f"{outcome} after a crash", text


def report(options: argparse.Namespace, reader: Reader, outcome: str, text: str) -> None:
    """Keep the file of a finding."""
    place = ""
    if options.findings:
        folder = Path(options.findings)
        folder.mkdir(parents=True, exist_ok=True)
        place = str(folder / f"{options.seed}-{reader.number}-{reader.name}")
        Path(place).write_bytes(reader.content)
    print(f"{reader.number} {reader.name}: {outcome} {place}\n{text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first, to go on where a run was stopped")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other files (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="that read side by side (default: %(default)s)")
    parser.add_argument("--findings", metavar="DIR", help="where files are kept that a reader did not refuse")
    return int(fuzz(parser.parse_args()) > 0)


if __name__ == "__main__":
    sys.exit(main())
