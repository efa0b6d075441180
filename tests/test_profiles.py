"""The week's load: by hand, and the laws of pooling."""

import numpy as np
import pytest

from costpertoken.fleet import profiles
from costpertoken.model.records import InputError


@pytest.mark.parametrize("peak", [1.2, 1.7, 2.0, 3.5, 10.0])
@pytest.mark.parametrize("weekend", [1.0, 0.6])
def test_mean_peak_and_hour_are_as_asked(peak, weekend):
    found = profiles.week(peak_to_mean=peak, weekend_share=weekend, peak_hour=14.0)
    assert found.shape == (168,) and found.min() >= 0
    assert found.mean() == pytest.approx(1) and found.max() == pytest.approx(peak)
    assert found.argmax() % 24 == 14
    assert found[120:].sum() == pytest.approx(weekend * found[:48].sum())


def test_two_values_by_hand():
    # a flat day and a weekend at a half: 5 + 2/2 = 6 days' worth in 7, so a weekday is 7/6
    found = profiles.week(peak_to_mean=7 / 6, weekend_share=0.5)
    assert found[:120] == pytest.approx(np.full(120, 7 / 6)) and found[120:] == pytest.approx(np.full(48, 7 / 12))
    # exp(k cos): six hours from the peak the load is the peak's over e^k, twelve hours away over e^2k
    day = profiles.week(peak_to_mean=2.0)[:24]
    assert day[14] * day[2] == pytest.approx(day[8] ** 2) and day[8] == pytest.approx(day[20])


def test_a_peak_below_the_weekend_s_own_is_refused():
    with pytest.raises(InputError, match="with this weekend"):
        profiles.week(peak_to_mean=1.1, weekend_share=0.5)
    with pytest.raises(InputError, match="add up"):
        profiles.zones(np.ones(168), shifts_hours=[0, 1], shares=[0.5, 0.6])


def test_zones_by_hand():
    profile = np.zeros(168)
    profile[10] = 168.0
    both = profiles.zones(profile, shifts_hours=[0, 3], shares=[0.25, 0.75])
    assert both[10] == 42 and both[13] == 126 and both.sum() == 168
    half = profiles.later(profile, 0.5)
    assert half[10] == half[11] == 84
    assert profiles.later(profile, 158)[0] == 168  # round the end of the week
    assert np.array_equal(profiles.later(profile, -10), profiles.later(profile, 158))


def test_zones_all_round_the_globe_are_flat():
    profile = profiles.week(peak_to_mean=2.5)
    assert profiles.spread(profile, zones_used=24) == pytest.approx(np.ones(168))
    assert profiles.peak_to_mean(profiles.spread(profile, zones_used=1)) == pytest.approx(2.5)


def test_pooling_keeps_the_mean_and_never_raises_the_peak():
    rng = np.random.default_rng(3)
    for _ in range(20):
        profile = profiles.week(peak_to_mean=rng.uniform(1.5, 4), weekend_share=rng.uniform(0.5, 1))
        shares = rng.dirichlet(np.ones(4))
        pooled = profiles.zones(profile, shifts_hours=rng.uniform(-12, 12, 4), shares=shares)
        assert pooled.mean() == pytest.approx(1) and pooled.max() <= profile.max() + 1e-9
        assert 0.25 < profiles.pooled_peak(rng.random((5, 168))) <= 1


def test_pooled_peak_by_hand():
    assert profiles.pooled_peak([[1, 3], [3, 1]]) == pytest.approx(4 / 6)
    assert profiles.pooled_peak([[1, 3], [2, 6]]) == 1


def test_levels_merge_equal_hours():
    found, weights = profiles.levels(profiles.week(peak_to_mean=2.0))
    assert len(found) == 13  # the peak, its opposite, and eleven pairs of hours beside them
    assert weights.sum() == pytest.approx(1) and weights @ found == pytest.approx(1)
    assert weights[-1] == pytest.approx(7 / 168)
