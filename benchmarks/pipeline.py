"""How fast training pairs are made, and how much of a training step is spent waiting for them.

    python benchmarks/pipeline.py                                 # the generator and the augmentation alone
    python benchmarks/pipeline.py --steps 30 --size compact       # and training steps beside them

Rates are a core's: pairs a second of processor time, so that other work on the machine does not count. Every pair is
two new vertebrae, made from nothing. Waiting is wall time between a step's end and its next batch.
"""

import argparse
import os
import time

import numpy as np

from acsgreg_tf.cohort.augment import Augment
from acsgreg_tf.cohort.generated import GeneratedVertebrae
from acsgreg_tf.synthesis.generator import CohortGenerator
from acsgreg_tf.synthesis.sources import read_sources

GOALS = {1: 1.0, 2: 4.0}  # pairs a second a core at 128x128x64 and 64x64x32


def per_core(work, count):
    """(times a second of this process's processor time, of wall time) that `work(i)` is done, over `count` times."""
    clocks = time.process_time(), time.perf_counter()
    for i in range(count):
        work(i)
    return count / (time.process_time() - clocks[0]), count / (time.perf_counter() - clocks[1])


def making(spacing, sources, count):
    generator = CohortGenerator(0, sources=sources, spacing=spacing)
    generator.load()
    for i in range(2 * count if sources else 2):  # correspondences between real people are computed once and cached
        generator.make(i)
    core, wall = per_core(lambda i: [generator.make(j) for j in (2 * i, 2 * i + 1)], count)
    kind = "real shapes varied" if sources else "phantom"
    shape = "x".join(map(str, generator.shape))
    print(f"{kind}, {shape}: {core:.2f} pairs/s a core (goal {GOALS[spacing]:.0f}), {wall:.2f} a second of wall time")


def changing(spacing, count):
    vertebrae = GeneratedVertebrae(CohortGenerator(0, spacing=spacing), 6, 0)
    augment = Augment()
    pairs = [vertebrae.get(i) for i in range(6)]
    core, _ = per_core(
        lambda i: [augment(*pairs[(i + k) % 6], np.random.default_rng(2 * i + k)) for k in (0, 1)], count
    )
    print(f"augmentation, {'x'.join(map(str, vertebrae.inshape))}: {core:.2f} pairs/s a core")


def waiting(options, spacing, augment):
    import keras

    from acsgreg_tf import networks, training
    from acsgreg_tf.training.batches import PairBatches

    keras.utils.set_random_seed(0)
    vertebrae = GeneratedVertebrae(CohortGenerator(0, spacing=spacing), options.vertebrae, options.data_processes)
    network = networks.ACSGRegNet(inshape=vertebrae.inshape, **networks.SIZES["ACSGRegNet"][options.size])
    model = training.training_model(network, True)
    recipe = training.Recipe(batch_size=options.batch_size)
    training.compile_for(model, recipe, recipe.lr, options.steps)
    names = list(model.output_names)
    batches = PairBatches(vertebrae, options.batch_size, options.steps + 2, outputs=names, augment=augment)
    begun = time.perf_counter()
    waits, steps = [], []
    on_tensorflow = keras.backend.backend() == "tensorflow"
    reader = iter(batches.as_tf_dataset() if on_tensorflow else batches)
    for _ in range(options.steps + 2):
        clock = time.perf_counter()
        batch = next(reader)
        waits.append(time.perf_counter() - clock)
        model.train_on_batch(*batch)
        steps.append(time.perf_counter() - clock)
    vertebrae.close()
    first = f"first batch after {waits[0]:.1f} s, first step after {steps[0]:.0f} s"
    share = 100 * sum(waits[2:]) / sum(steps[2:])
    print(
        f"training, {options.size}, {'x'.join(map(str, vertebrae.inshape))}, batch {options.batch_size}, "
        f"{'augmented, ' if augment else ''}{options.data_processes} worker(s): {np.mean(steps[2:]):.2f} s a step, "
        f"{share:.1f} % of it waiting (goal < 10; longest {max(waits[2:]):.2f} s); {first}; "
        f"{time.perf_counter() - begun:.0f} s altogether",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="to time (default: 20)")
    parser.add_argument("--shapes", help="list of real shapes to vary, as for generate.py")
    parser.add_argument("--steps", type=int, default=0, help="training steps to time (default: none)")
    parser.add_argument("--size", default="compact", help="of the network (default: compact)")
    parser.add_argument("--spacing", type=int, default=1, choices=(1, 2), help="mm, of the training steps (default: 1)")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--vertebrae", type=int, default=500, help="of the generated cohort (default: 500)")
    parser.add_argument("--data-processes", type=int, default=1)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before this began", flush=True)
    for spacing in (2, 1):
        making(spacing, [], options.pairs)
        if options.shapes:
            making(spacing, read_sources(options.shapes), options.pairs)
        changing(spacing, options.pairs)
    if options.steps:
        for augment in (False, True):
            waiting(options, options.spacing, augment)


if __name__ == "__main__":
    main()
