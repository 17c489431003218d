"""The losses of section 2.2: known answers, voxelmorph's where they should agree, gradients, and empty space."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from acsgreg_tf import losses
from acsgreg_tf.layers._voxelmorph import voxelmorph
from acsgreg_tf.losses import LNCC, Diffusion, MeanSquaredDifference, SoftDice, SurfaceDistance, local_correlation
from tests.explore import examples
from tests.helpers import LARGE, SMALL, ball, directional_derivative, gradients, noise, slopes, smooth_field

SHAPE = (16, 16, 12)
MIDDLE = (slice(None), *[slice(6, -6)] * 2, slice(5, -5))


def texture(shape=SHAPE, batch=1, seed=0):
    """A smooth image in [0, 1] without constant windows."""
    image = ndimage.gaussian_filter(noise((batch, *shape, 1), seed=seed), (0, 1, 1, 1, 0))
    return ((image - image.min()) / np.ptp(image)).astype("float32")


def masked(shape=SHAPE, seed=0):
    """A texture within a ball, nothing outside: what a masked vertebra is like."""
    return (texture(shape, seed=seed) + 0.2) * (ball(shape, 4) > 0.5)


def by_hand(fixed, warped, window):
    """Squared local correlation from scipy's window means, in double precision."""
    size = (1, window, window, window, 1)

    def mean(x):
        return ndimage.uniform_filter(x.astype(float), size, mode="constant")

    cross = mean(fixed * warped) - mean(fixed) * mean(warped)
    variances = [mean(x * x) - mean(x) ** 2 for x in (fixed, warped)]
    return cross**2 / (variances[0] * variances[1] + 1e-5 / window**6)


# === LNCC ===


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("foreground", [False, True])
def test_an_image_with_itself_scores_minus_1(foreground, signed):
    image = texture(batch=2)
    assert float(LNCC(5, foreground, signed)(image, image)) == pytest.approx(-1, abs=2e-3)


def test_an_image_with_its_negative():
    image = texture()
    assert float(LNCC(5)(image, -image)) == pytest.approx(-1, abs=2e-3)
    assert float(LNCC(5, signed=True)(image, -image)) == pytest.approx(1, abs=2e-3)


def test_scale_and_shift_of_the_intensities_do_not_matter_inside():
    image = texture()
    score = np.array(local_correlation(image, 3 * image + 2, window=5))
    np.testing.assert_allclose(score[:, 2:-2, 2:-2, 2:-2], 1, atol=1e-3)


def test_unrelated_images_score_near_0():
    assert -0.1 < float(LNCC(9)(noise((1, *SHAPE, 1)), noise((1, *SHAPE, 1), seed=1))) <= 0


@pytest.mark.parametrize("window", [3, 5, 9])
def test_agrees_with_double_precision(window):
    fixed, warped = texture(), 0.5 * texture() + 0.5 * texture(seed=1)
    np.testing.assert_allclose(local_correlation(fixed, warped, window), by_hand(fixed, warped, window), atol=2e-3)


@pytest.mark.tensorflow
def test_agrees_with_voxelmorph_where_it_does_not_cut_off(tf):
    # Positively correlated everywhere, no constant window; window 9, voxelmorph's default, padded alike.
    fixed = texture()
    warped = fixed + 0.1 * texture(seed=1)
    theirs = tf.reduce_mean(voxelmorph.losses.NCC(win=9).loss(tf.constant(fixed), tf.constant(warped)))
    assert float(LNCC(9, foreground=False)(fixed, warped)) == pytest.approx(float(theirs), abs=2e-3)


def test_windows_that_are_constant_in_either_image_score_0():
    flat, image = np.full((1, *SHAPE, 1), 0.7, "float32"), texture()
    inside = (slice(None), *[slice(2, -2)] * 3)  # nearer to the border zeros come in
    for pair in ((flat, flat), (flat, image), (image, flat)):
        assert np.abs(np.array(local_correlation(*pair, window=5))[inside]).max() < 1e-3
    empty = np.zeros_like(flat)
    assert float(LNCC(5)(empty, empty)) == float(LNCC(5, foreground=False)(empty, image)) == 0


def test_the_score_lies_between_0_and_1():
    for signed in (False, True):
        score = np.array(local_correlation(masked(), masked(seed=1), 5, signed))
        assert np.isfinite(score).all() and score.min() >= (-1.001 if signed else 0) and score.max() <= 1.001


def test_the_foreground_does_not_see_how_much_emptiness_there_is_around():
    fixed, warped = masked(), 0.5 * masked() + 0.5 * masked(seed=1)
    padding = ((0, 0), (10, 6), (8, 8), (0, 12), (0, 0))
    wide = [np.pad(image, padding) for image in (fixed, warped)]
    small, large = (float(LNCC(5)(*pair)) for pair in ((fixed, warped), wide))
    assert small == pytest.approx(large, abs=1e-5)
    everywhere = [float(LNCC(5, foreground=False)(*pair)) for pair in ((fixed, warped), wide)]
    assert abs(everywhere[1]) < 0.5 * abs(everywhere[0])


def test_the_foreground_is_the_fixed_images():
    # What the warped image holds far from the fixed one's foreground does not count.
    fixed = masked()
    stray = fixed.copy()
    stray[:, 0, 0, 0] = 1
    assert float(LNCC(3)(fixed, stray)) == pytest.approx(float(LNCC(3)(fixed, fixed)), abs=1e-6)


def test_each_sample_has_its_own_foreground():
    pair = [np.concatenate([masked(), 0 * masked()]), np.concatenate([masked(), 0 * masked()])]
    per_sample = np.array(LNCC(5, reduction=None)(*pair))
    assert per_sample.shape == (2,)
    assert per_sample[0] == pytest.approx(-1, abs=1e-2) and per_sample[1] == 0


@pytest.mark.parametrize("signed", [False, True])
def test_anti_correlated_windows_keep_a_gradient(signed):
    fixed = texture()
    warped = 1 - fixed + 0.2 * texture(seed=1)
    _, (result,) = gradients(lambda w: LNCC(5, signed=signed)(fixed, w), warped)
    assert np.abs(result[MIDDLE]).max() > 1e-6


@pytest.mark.tensorflow
def test_voxelmorph_cuts_that_gradient_off(tf):
    # Which is why the package has a loss of its own.
    fixed = texture()
    warped = 1 - fixed + 0.2 * texture(seed=1)
    _, (cut_off,) = slopes(lambda w: tf.reduce_sum(voxelmorph.losses.NCC(win=5).loss(tf.constant(fixed), w)), warped)
    assert np.abs(cut_off[MIDDLE]).max() < 1e-10


@pytest.mark.parametrize("signed", [False, True])
def test_a_signed_step_downhill_turns_an_inverted_image_round(signed):
    fixed = texture()
    warped = 1 - fixed + 0.3 * texture(seed=1)
    loss = LNCC(5, signed=signed)
    before = np.corrcoef(fixed.ravel(), warped.ravel())[0, 1]
    for _ in range(5):
        _, (slope,) = slopes(lambda w: loss(fixed, w), warped)
        warped = warped - 0.1 * slope / np.abs(slope).max()
    after = np.corrcoef(fixed.ravel(), warped.ravel())[0, 1]
    assert (after > before) == signed  # unsigned (Eq. 5) is content with the inverse


@pytest.mark.parametrize("shape", [SHAPE, LARGE], ids=["plain", "compiled"])
def test_gradient_of_lncc_against_differences(shape):
    fixed, warped = texture(shape), texture(shape, seed=1)
    loss = LNCC(5)
    _, (result,) = slopes(lambda w: loss(fixed, w), warped)
    along = result / np.linalg.norm(result)
    slope = directional_derivative(lambda w: loss(fixed, w), warped, along)
    assert np.sum(result * along) == pytest.approx(slope, rel=0.05)


def test_refusals():
    with pytest.raises(ValueError, match="odd and positive, got 4"):
        LNCC(4)(texture(), texture())
    two = np.concatenate([texture(), texture()], -1)
    with pytest.raises(ValueError, match="one channel"):
        LNCC(5)(two, two)


# === diffusion ===


def test_a_rigid_translation_is_smooth():
    assert float(Diffusion()(0.0, np.full((1, *SMALL, 3), [3, -2, 1], "float32"))) == 0


def test_a_linear_field_has_the_squares_of_its_matrix():
    matrix = noise((3, 3))
    field = (np.moveaxis(np.indices(SMALL), 0, -1) @ matrix.T)[None].astype("float32")
    assert float(Diffusion()(0.0, field)) == pytest.approx(np.sum(matrix**2), rel=1e-5)


def test_a_single_step_counts_by_hand():
    field = np.zeros((1, 3, 2, 2, 3), "float32")
    field[0, 2, :, :, 1] = 2  # four differences of 2 among the eight along x
    assert float(Diffusion()(0.0, field)) == pytest.approx(4 * 2**2 / 8)


@pytest.mark.tensorflow
def test_diffusion_is_three_times_voxelmorphs_by_axis_and_three_times_by_component(tf):
    field = noise((2, *SMALL, 3))
    theirs = np.array(voxelmorph.losses.Grad("l2").loss(None, tf.constant(field)))
    result = np.array(Diffusion(reduction=None)(0.0, field))
    np.testing.assert_allclose(result, 9 * theirs, rtol=1e-5)


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["plain", "compiled"])
def test_gradient_of_diffusion_is_that_of_automatic_differentiation(shape):
    field = noise((2, *shape, 3))
    weights = keras.ops.convert_to_tensor([1.0, 3.0])

    def plain(f):
        steps = f[:, 1:] - f[:, :-1], f[:, :, 1:] - f[:, :, :-1], f[:, :, :, 1:] - f[:, :, :, :-1]
        return weights * sum(keras.ops.mean(keras.ops.sum(step**2, axis=-1), axis=(1, 2, 3)) for step in steps)

    value, (expected,) = gradients(plain, field)
    result, (actual,) = gradients(lambda f: weights * Diffusion(reduction=None)(0.0, f), field)
    np.testing.assert_allclose(result, value, rtol=1e-5)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


# === Dice ===


def boxes(first, second):
    """Two label volumes [1, 8, 4, 4, 1] that fill x from a to b."""
    labels = []
    for a, b in (first, second):
        label = np.zeros((1, 8, 4, 4, 1), "float32")
        label[:, a:b] = 1
        labels.append(label)
    return labels


@pytest.mark.parametrize(
    "first, second, dice",
    [
        ((0, 4), (0, 4), 1),
        ((0, 4), (4, 8), 0),
        ((0, 4), (2, 6), 0.5),
        ((0, 8), (0, 4), 2 / 3),
        ((0, 0), (0, 0), 1),
        ((0, 0), (0, 4), 0),
    ],
)
def test_dice_of_known_overlaps(first, second, dice):
    assert float(SoftDice()(*boxes(first, second))) == pytest.approx(1 - dice, abs=1e-6)


def test_dice_of_soft_labels():
    label = boxes((0, 4), (0, 4))[0]
    assert float(SoftDice()(label, 0.5 * label)) == pytest.approx(1 - 2 * 0.5 / 1.5)


@pytest.mark.tensorflow
def test_dice_agrees_with_voxelmorph(tf):
    pair = [np.random.default_rng(i).uniform(size=(2, *SMALL, 3)).astype("float32") for i in (0, 1)]
    theirs = float(voxelmorph.losses.Dice().loss(*(tf.constant(p) for p in pair)))
    assert float(SoftDice()(*pair)) == pytest.approx(1 + theirs, abs=1e-5)


def test_dice_pulls_a_label_towards_the_other():
    fixed, warped = boxes((0, 4), (2, 6))
    _, (slope,) = gradients(lambda w: SoftDice()(fixed, w), warped)
    assert np.all(slope[:, :4] < 0) and np.all(slope[:, 4:] > 0)


# === distance between surfaces ===


def plane(at, reach=6.0, slope=(1.0, 0.0, 0.0), shape=(24, 6, 5)):
    """The signed distance [1, *shape, 1] to the plane x = at (for another slope through there), cut at `reach`."""
    points = np.moveaxis(np.indices(shape), 0, -1) - np.array([at, 0, 0])
    return np.clip(points @ np.array(slope), -reach, reach)[None, ..., None].astype("float32")


def test_a_surface_on_itself_is_at_no_distance():
    assert float(SurfaceDistance()(plane(11.5), plane(11.5))) == 0


def test_a_plane_shifted_by_2_voxels():
    """Where neither distance is cut each voxel counts sqrt(1/4 + 4) - 1/2; the mean is over those near the surface."""
    each = np.sqrt(0.25 + 4) - 0.5
    np.testing.assert_allclose(losses.rounded_difference(plane(11.5, 99), plane(13.5, 99)), each, rtol=1e-5)
    fixed, warped = plane(11.5), plane(13.5)
    near = np.abs(fixed) < SurfaceDistance.NEAR  # 10 to 13: four planes
    assert near[0, :, 0, 0, 0].sum() == 4
    total = losses.rounded_difference(fixed, warped)
    np.testing.assert_allclose(np.array(total)[near], each, rtol=1e-5)
    # Cut at 6: 12 planes of 2 voxels' miss (6 to 17), and on either side one each of 1.5 and 0.5 less.
    along = np.array(total)[0, :, 0, 0, 0]
    assert float(SurfaceDistance()(fixed, warped)) == pytest.approx(along.sum() / 4, rel=1e-5)
    assert np.count_nonzero(along) == 14


def test_small_misses_count_squared_and_large_ones_absolute():
    one = np.ones((1,), "float32")
    assert float(losses.rounded_difference(one * 0.01, 0 * one)[0]) == pytest.approx(0.01**2, rel=1e-2)
    assert float(losses.rounded_difference(one * 100, 0 * one)[0]) == pytest.approx(99.5, rel=1e-4)


def test_distance_grows_with_the_miss_and_pulls_the_surface_back():
    result = [float(SurfaceDistance()(plane(11.5), plane(11.5 + by))) for by in (0, 0.5, 1, 2, 4, 8)]
    assert np.all(np.diff(result) > 0)  # far beyond where masks overlap
    _, (slope,) = slopes(lambda w: SurfaceDistance()(plane(11.5), w), plane(13.5))
    assert np.all(slope[0, 9:14] < 0)  # the warped distance is too small there: downhill raises it


def test_without_a_surface_near_the_distance_is_finite():
    assert float(SurfaceDistance()(plane(-100), plane(-100))) == 0
    assert np.isfinite(float(SurfaceDistance()(plane(-100), plane(11.5))))


# === all of them ===


@given(st.floats(0.0, 2.0), st.integers(0, 2**16))
@examples(10)
def test_mean_squared_difference_of_a_shift_is_its_square(shift, seed):
    image = noise((2, *SMALL, 1), seed=seed)
    assert float(MeanSquaredDifference()(image, image + np.float32(shift))) == pytest.approx(shift**2, abs=1e-4)


EACH = [
    LNCC(7, foreground=False, signed=True),
    MeanSquaredDifference(),
    Diffusion(),
    SoftDice(reduction="sum"),
    SurfaceDistance(),
]


@pytest.mark.parametrize("loss", EACH, ids=lambda loss: loss.name)
def test_config_round_trip(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "loss", [LNCC(5), MeanSquaredDifference(), Diffusion(), SoftDice(), SurfaceDistance()], ids=lambda loss: loss.name
)
def test_a_batch_is_the_mean_of_its_samples(loss):
    fixed, warped = texture(batch=2), texture(batch=2, seed=1)
    if loss.name == "diffusion":
        fixed = warped = smooth_field(SHAPE, 1.0, batch=2)
    each = [float(loss(fixed[i : i + 1], warped[i : i + 1])) for i in (0, 1)]
    assert float(loss(fixed, warped)) == pytest.approx(np.mean(each), rel=1e-4)
    assert each[0] != each[1]
