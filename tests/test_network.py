"""Distance and bytes, by hand."""

import numpy as np
import pytest

from costpertoken.fleet import network

LONDON, ASHBURN, SYDNEY = (51.5074, -0.1278), (39.0438, -77.4874), (-33.8688, 151.2093)


def test_light_takes_ten_milliseconds_for_a_thousand_kilometres_and_back():
    assert network.round_trip_s(1000, stretch=1) == pytest.approx(0.0098, abs=1e-5)  # 204,219 km/s in the fibre
    assert network.round_trip_s(1000, stretch=2, added_s=0.005) == pytest.approx(2 * 0.009793 + 0.005, abs=1e-5)
    assert network.first_byte_s(0.04) == pytest.approx(0.12)
    assert network.first_byte_s(0.04, round_trips=network.OPEN) == 0.04


def test_great_circles():
    assert network.great_circle_km(LONDON, ASHBURN) == pytest.approx(5917, rel=0.005)
    assert network.great_circle_km((0, 0), (0, 90)) == pytest.approx(np.pi / 2 * 6371)
    assert network.great_circle_km((90, 0), (-90, 55)) == pytest.approx(np.pi * 6371)


def test_mean_distance_by_hand_and_by_integration():
    assert network.mean_distance_km(area_km2=np.pi * 100.0, sites=1) == pytest.approx(20 / 3, rel=1e-6)  # disc of 10 km
    globe = 4 * np.pi * 6371**2
    assert network.mean_distance_km(area_km2=globe, sites=1) == pytest.approx(np.pi / 2 * 6371)  # half way round a half
    assert network.mean_distance_km(area_km2=globe, sites=2) == pytest.approx(6371)  # a hemisphere: one radius
    edge = 0.7
    angles = np.linspace(0, edge, 200_001)
    mean = np.average(angles, weights=np.sin(angles)) * 6371
    cap = 2 * np.pi * 6371**2 * (1 - np.cos(edge))
    assert network.mean_distance_km(area_km2=5 * cap, sites=5) == pytest.approx(mean, rel=1e-4)


def test_distance_falls_as_the_root_of_the_sites():
    one, many = network.mean_distance_km(area_km2=1e6, sites=np.array([10, 1000]))
    assert one / many == pytest.approx(10, rel=0.01)


def test_egress_by_hand():
    # 300 bytes with 60 of headers, four tokens together: 90 bytes a token, 90 MB a million, 0.09 GB
    per_token = network.sent_bytes_per_token(event_bytes=300, tokens_per_event=4, packet_bytes=60)
    assert per_token == 90
    assert network.egress_usd_per_mtok(bytes_per_token=per_token, usd_per_gb=0.1) == pytest.approx(0.009)


def test_weights_by_hand():
    assert network.transfer_s(size_bytes=70e9, link_bits_per_s=10e9) == 56
    # 70 GB to ten sites at 0.05 a GB are 35 USD, over 7 billion tokens
    assert network.release_usd_per_mtok(weights_bytes=70e9, sites=10, usd_per_gb=0.05, tokens=7e9) == pytest.approx(
        0.005
    )
