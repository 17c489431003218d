"""The registration of one pair from end to end: prepare -> estimate -> refine -> margin -> folds -> finish."""

import os
import warnings
from collections.abc import Mapping

from scipy.ndimage import center_of_mass

from acsgreg_tf import metrics
from acsgreg_tf.geometry import affine_from_network, pose_of
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.registration.clock import Clock, Progress, StepProgress
from acsgreg_tf.registration.doubts import flags_after, flags_before
from acsgreg_tf.registration.engine import AUTO, Engine, load_engine
from acsgreg_tf.registration.estimate import Estimate, estimate, refined, surfaces_alone
from acsgreg_tf.registration.finish import dice_on_fixed_grid, move, summarise
from acsgreg_tf.registration.inverse_error import written_safely
from acsgreg_tf.registration.margin import with_margin
from acsgreg_tf.registration.measures import measure, moving_at_stages, overlap_where_seen, stage_transforms
from acsgreg_tf.registration.models import NO_MODEL, RegistrationNetwork
from acsgreg_tf.registration.options import DEFORMABLE, Options
from acsgreg_tf.registration.prepare import Selection, VertebraPair, prepare, select
from acsgreg_tf.registration.result import Result
from acsgreg_tf.registration.scan import Scan, Source, read_scan


def register(
    fixed: Source | Scan,
    moving: Source | Scan,
    *,
    model: str | os.PathLike | RegistrationNetwork | Engine | None = None,
    engine: str = AUTO,
    fixed_seg: Source | None = None,
    moving_seg: Source | None = None,
    label: int | None = None,
    level: str | None = None,
    table: str | Mapping[str, int] = "verse",
    moving_label: int | None = None,
    moving_table: str | Mapping[str, int] | None = None,
    fixed_ignore: Source | None = None,
    moving_ignore: Source | None = None,
    fixed_parts: Source | None = None,
    moving_parts: Source | None = None,
    fit_affine: bool = True,
    refine: int | None = None,
    smoothness: float | None = None,
    parts_weight: float | None = None,
    transform: str = DEFORMABLE,
    progress: Progress | None = None,
    refine_progress: StepProgress | None = None,
) -> Result:
    """Register the moving vertebra to the fixed one.

    Grids, spacings, orientations and scanner frames may differ; image and label are each placed by their own header.

    Args:
        fixed: A path, a nibabel or SimpleITK image, or an Image; or a Scan, which holds its label map. With a label map
            a whole scan; without one a crop that shows one vertebra on an empty background.
        moving: Likewise.
        model: A network, or the path of one; None is the network that comes with the package, where both sides have an
            image, else "none", with refinement. "none" goes without a network: the affine is fitted from nothing and
            refinement starts there.
        engine: What computes the network: "keras" (with its backend, on a GPU where there is one), "openvino" (on the
            CPU, from a model's path), or "auto": OpenVINO where it is installed and the model is a file.
        fixed_seg: Label map of the fixed scan, likewise; optional.
        moving_seg: Label map of the moving scan.
        label: The vertebra's number in the label maps. Not needed where each map holds one.
        level: Its name instead, e.g. "L3".
        table: Which number a level has: "verse", "totalsegmentator", a list such as "L1=20,L2=21", or a dict.
        moving_label: `label` in the moving label map, where another tool made it; None is `label`.
        moving_table: `table` of the moving label map; None is `table`.
        fixed_ignore: A mask of where not to compare the fixed scan (metal, a fracture, missing tips): what is not 0, on
            any grid. Where a scan's edge cuts the vertebra, nothing beyond it is compared anyway.
        moving_ignore: Likewise of the moving scan.
        fixed_parts: Map of the fixed vertebra's parts, or of those of the whole scan (VerSe's subregions,
            `anatomy.parts`), on any grid: with refine, each part is laid on its partner.
        moving_parts: Likewise of the moving one's.
        fit_affine: Fit the network's affine to the two surfaces before its deformable part goes on
            (`geometry.surface_affine`): the affine is more accurate, and the result depends less on where the voxels of
            a scan happen to lie. False takes the affine as the network estimates it.
        refine: Steps of refinement after the network (`registration.refine`), 0 for the network alone. None takes 8,
            or 50 without a network.
        smoothness: How smooth a refined deformation is; None takes the default, larger is smoother.
        parts_weight: How much the parts count in refinement; None takes the default.
        transform: "rigid", "similarity" (one scale), "affine" or "deformable" (an affine and a deformation). The first
            three leave the bone as it is: for follow-up and motion.
        progress: Called with the name of each of `STEPS` as it begins.
        refine_progress: Called as refine_progress(done, total, objective) after each step of refinement.

    Returns:
        A Result. Its summary holds: fixed, moving, model, engine (what computed it), level, label; cut (fixed and
        moving: whether the vertebra is not all there) and warnings; lncc (window 9, over windows that reach the fixed
        vertebra) and ncc (whole box) of the two vertebrae, each before, after the affine and after the deformation;
        with both labels dice and assd_mm likewise, and dice_on_fixed_grid (moved_seg against the fixed label map).
        Labels are sampled once, linearly, and cut at 0.5; all measures but the last one are taken on the fixed
        vertebra's 1 mm grid. transform is the kind asked for, affine its pose (`geometry.pose`: rotation_deg,
        angle_deg, translation_mm of the fixed vertebra's centroid, stretches). affine_fit_mm is how far on average the
        fit moved the fixed vertebra's voxels (large for a network with a poor affine), or None. folds (count, percent)
        are those of phi by forward differences, none; its network counts those of the network's own field, before it
        was refined and its velocity smoothed where it folds; inverse_error_mm is the mean distance by which the
        inverse misses within 5 mm of the fixed vertebra, inverse_error_p99_mm its 99th percentile and
        inverse_error_max_mm the largest; seconds goes by step. With refinement: refinement (steps, smoothness, stopped,
        objective before and after, and its terms).

    Warns:
        UserWarning: One line for each vertebra that is cut by its scan's edge or larger than the network's box, for a
            label's stray voxels, and for each doubt (`registration.doubts`), which the summary's flags hold as name and
            text.

    Raises:
        InputError: In one line that names the file or the value: an image, a label map or a model that cannot be used,
            or arguments that contradict each other.
    """
    options = Options(fit_affine, refine, smoothness, transform, parts_weight)
    options.check_model(model)
    clock = Clock(progress)
    with clock("reading"):
        selection = Selection(label, level, table, moving_label, moving_table)
        sides = (
            read_scan(fixed, fixed_seg, fixed_ignore, fixed_parts),
            read_scan(moving, moving_seg, moving_ignore, moving_parts),
        )
        options.check_parts(*(None if side.parts is None else side.parts.name for side in sides))
        scans = select(*sides, selection)
        if model is None and fit_affine and any(scan.drawn for scan in scans):
            model = NO_MODEL  # on painted bone refinement alone measures better (docs/lab/spine.md)
    with clock("loading the network"):
        network = None if isinstance(model, str) and model == NO_MODEL else load_engine(model, engine, keep=False)
        if network is not None and options.deforms:
            network.read_ahead()
    with clock("finding the vertebrae"):
        pair = prepare(*scans, NETWORK_SHAPE if network is None else network.inshape)
    for note in pair.notes:
        warnings.warn(note, stacklevel=2)
    result = _estimate(network, pair, options, clock, refine_progress)
    with clock("inverting"):
        own = result.network_deformation
        network_folds = None if own is None else metrics.folds(own.integrated).count
        bone = pair.fixed.share > 0.5
        deformation = result.deformation
        if options.deforms:
            deformation = written_safely(with_margin(deformation, bone), bone)
        whole = deformation.world_transform(pair.fixed.grid, pair.moving.grid)
    with clock("moving the image"):
        moved, moved_seg = move(*scans, whole)
    with clock("measuring"):
        affine = deformation.world_affine(pair.fixed.grid, pair.moving.grid)
        both = None if scans[0].label_map is None else scans[1].alone
        images, labels = moving_at_stages(pair, stage_transforms(pair, affine, whole), both)
        pose = pose_of(affine, pair.fixed.grid.index_to_points(center_of_mass(bone)))
        measures = {"transform": transform, "affine": pose.summary()} | measure(pair.fixed, images, labels, deformation)
        if network_folds is not None:
            measures["folds"]["network"] = network_folds
        if labels is not None and moved_seg is not None:
            measures["dice_on_fixed_grid"] = dice_on_fixed_grid(scans[0], moved_seg)
        where_seen, cut = overlap_where_seen(pair, labels, deformation), pair.fixed.cut or pair.moving.cut
        flags = flags_before(scans, pair) + flags_after(measures, pose, options, where_seen, cut)
        measures["flags"] = [flag._asdict() for flag in flags]
    for flag in flags:
        warnings.warn(flag.text, stacklevel=2)
    first = result.network_affine
    name = NO_MODEL if network is None else network.name
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
    return Result(
        moved=moved,
        moved_seg=moved_seg,
        transform=whole,
        inverse=whole.inverse(),
        affine=affine,
        deformation=deformation,
        fixed=pair.fixed,
        moving=pair.moving,
        images=images,
        labels=labels,
        summary=summarise(
            scans,
            pair,
            result,
            measures,
            model=name,
            engine=None if network is None else network.title,
            level=level,
            seconds=clock.summary(),
        ),
        network_affine=None if first is None else affine_from_network(first, pair.fixed.grid, pair.moving.grid),
    )


def _estimate(
    network: Engine | None,
    pair: VertebraPair,
    options: Options,
    clock: Clock,
    progress: StepProgress | None,
) -> Estimate:
    """The network's estimate, refined where that is asked for or there is no network."""
    start = None
    with clock("registering"):
        if network is not None:
            start = estimate(network, pair, options)
        elif not options.steps(network=False):
            start = surfaces_alone(pair, options)
    if start is not None and not options.refines:
        return start
    with clock("refining"):
        return refined(pair, start, options, progress)
