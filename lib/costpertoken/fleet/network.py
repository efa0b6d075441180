"""Distance and bytes: the time that light and handshakes take, how near the nearest of n sites is, what leaves a site."""

import numpy as np

from costpertoken.model.records import check_range
from costpertoken.model.units import BITS_PER_BYTE, GB, MTOK

#: Kilometres that light covers in a second in vacuum, and the refractive index of the fibre's core.
LIGHT_KM_PER_S, FIBRE_INDEX = 299_792.458, 1.468
#: Mean radius of the Earth in kilometres.
EARTH_KM = 6371.0
#: Round trips before the first byte of an answer: on an open connection, and on a new one (TCP, TLS 1.3, request).
OPEN, FRESH = 1, 3


def round_trip_s(distance_km, *, stretch: float, added_s: float = 0.0):
    """Seconds there and back: the fibre is `stretch` times as long as the great circle; added_s for routers and last mile."""
    check_range("stretch", stretch, low=1.0)
    return 2.0 * np.asarray(distance_km, dtype=float) * stretch * FIBRE_INDEX / LIGHT_KM_PER_S + added_s


def first_byte_s(round_trip_s, *, round_trips: int = FRESH):
    """Seconds that the network adds to the time to first token: so many round trips, the request's own among them."""
    return round_trips * np.asarray(round_trip_s, dtype=float)


def great_circle_km(here, there):
    """Kilometres between (latitude, longitude) pairs in degrees, by the haversine; arrays of pairs broadcast."""
    one, other = (np.radians(np.asarray(at, dtype=float)) for at in (here, there))
    half = np.sin((other - one) / 2) ** 2
    return 2 * EARTH_KM * np.arcsin(np.sqrt(half[..., 0] + np.cos(one[..., 0]) * np.cos(other[..., 0]) * half[..., 1]))


def mean_distance_km(*, area_km2, sites):
    """Mean distance to the nearest of n sites that share an area of the globe in equal round caps, users evenly spread.

    Caps do not tile, so real cells are a little worse, and people live in cities, so that sites there are better.
    """
    cap = np.asarray(area_km2, dtype=float) / np.asarray(sites, dtype=float)
    check_range("area_km2", cap, high=4.001 * np.pi * EARTH_KM**2, exclusive=True)
    edge = np.arccos(np.maximum(1.0 - cap / (2 * np.pi * EARTH_KM**2), -1.0))
    near = edge < 1e-3  # where the two terms cancel: a flat disc, two thirds of its radius
    safe = np.where(near, 1.0, edge)
    return EARTH_KM * np.where(near, 2 * edge / 3, (np.sin(safe) - safe * np.cos(safe)) / (1 - np.cos(safe)))[()]


def sent_bytes_per_token(*, event_bytes, tokens_per_event=1.0, packet_bytes=0.0):
    """Bytes that leave for one output token: an event of the stream with the headers of its packet, over its tokens."""
    check_range("tokens_per_event", tokens_per_event, exclusive=True)
    return (np.asarray(event_bytes, dtype=float) + packet_bytes) / tokens_per_event


def egress_usd_per_mtok(*, bytes_per_token, usd_per_gb):
    """USD for what leaves a site with a million output tokens."""
    return np.asarray(bytes_per_token, dtype=float) * MTOK / GB * usd_per_gb


def transfer_s(*, size_bytes, link_bits_per_s):
    """Seconds to send so many bytes over a link of so many bits a second, all of it used."""
    check_range("link_bits_per_s", link_bits_per_s, exclusive=True)
    return np.asarray(size_bytes, dtype=float) * BITS_PER_BYTE / link_bits_per_s


def release_usd_per_mtok(*, weights_bytes, sites, usd_per_gb, tokens):
    """USD per million output tokens for sending new weights to every site, over the tokens served until the next release."""
    return np.asarray(weights_bytes, dtype=float) * sites / GB * usd_per_gb / (np.asarray(tokens, dtype=float) / MTOK)
