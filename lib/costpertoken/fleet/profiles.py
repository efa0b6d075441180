"""Load over a week, hour by hour: a profile's peak over its mean, and what pooling time zones, sites or models does to it."""

import numpy as np
from scipy.optimize import brentq

from costpertoken.model.records import InputError, check_range

#: Hours in a day, days in a week, days of its weekend, and hours in the week of a profile.
DAY, DAYS, WEEKEND, WEEK = 24, 7, 2, 168
#: Sharpest daily peak tried: beyond it one hour holds all of the day.
SHARPEST = 500.0


def week(*, peak_to_mean: float, weekend_share: float = 1.0, peak_hour: float = 14.0) -> np.ndarray:
    """168 hourly weights from Monday, midnight, with mean 1 and the largest at peak_to_mean.

    A day is exp(k cos(angle to its peak hour)), which is positive however high the peak; weekend days are weekend_share of
    the others. Raises InputError where the weekend alone makes a higher peak, or one hour cannot hold so much.
    """
    check_range("peak_to_mean", peak_to_mean, low=1.0)
    check_range("weekend_share", weekend_share)
    angle = np.cos(2 * np.pi * (np.arange(DAY) - peak_hour) / DAY)
    days = np.where(np.arange(DAYS) < DAYS - WEEKEND, 1.0, weekend_share)

    def weights(sharpness: float) -> np.ndarray:
        hours = np.outer(days, np.exp(sharpness * (angle - angle.max()))).ravel()
        return hours / hours.mean()

    ends = weights(0.0).max(), weights(SHARPEST).max()
    if not ends[0] - 1e-9 <= peak_to_mean <= ends[1]:
        raise InputError(f"peak_to_mean is {peak_to_mean:g}; expected {ends[0]:.4g} to {ends[1]:.4g} with this weekend")
    if peak_to_mean <= ends[0] + 1e-9:
        return weights(0.0)
    return weights(brentq(lambda sharpness: weights(sharpness).max() - peak_to_mean, 0.0, SHARPEST, xtol=1e-12))


def later(profile, hours: float) -> np.ndarray:
    """The profile of people whose clock is `hours` behind: the same load that much later, the week taken as a circle."""
    profile = np.asarray(profile, dtype=float)
    whole = int(np.floor(hours))
    return (1 - (hours - whole)) * np.roll(profile, whole) + (hours - whole) * np.roll(profile, whole + 1)


def zones(profile, *, shifts_hours, shares) -> np.ndarray:
    """Load of several time zones together: each has its share of the people, whose week is the profile so much later."""
    shares = np.asarray(shares, dtype=float)
    if np.any(shares < 0) or abs(shares.sum() - 1) > 1e-9:
        raise InputError(f"shares add up to {shares.sum():g}; expected shares of at least 0 that add up to 1")
    return sum(share * later(profile, shift) for shift, share in zip(shifts_hours, shares, strict=True))


def levels(profile) -> tuple[np.ndarray, np.ndarray]:
    """(levels, weights): equal hours merged, from the lowest; the weights are shares of the week."""
    found, hours = np.unique(np.round(np.asarray(profile, dtype=float), 12), return_counts=True)
    return found, hours / hours.sum()


def peak_to_mean(profile) -> float:
    """The busiest hour over the mean hour; its inverse is the utilisation of a fleet that is sized for that hour exactly."""
    profile = np.asarray(profile, dtype=float)
    return float(profile.max() / profile.mean())


def pooled_peak(loads) -> float:
    """Peak of the sum over the sum of the peaks, at most 1: what one pool needs beside a pool for each row (a site, a model)."""
    loads = np.atleast_2d(np.asarray(loads, dtype=float))
    return float(loads.sum(axis=0).max() / loads.max(axis=1).sum())


def spread(profile, *, zones_used: int, width_hours: float = DAY) -> np.ndarray:
    """Load of zones with equal shares, evenly spaced over width_hours (a day: around the globe)."""
    check_range("zones_used", zones_used, low=1)
    check_range("width_hours", width_hours, high=DAY)
    shifts = np.arange(zones_used) * width_hours / zones_used
    return zones(profile, shifts_hours=shifts, shares=np.full(zones_used, 1 / zones_used))
