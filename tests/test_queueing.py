"""Erlang's formulas against printed tables, a plain recursion, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costpertoken.fleet import queueing
from costpertoken.model.records import InputError

LOADS = st.floats(0.05, 400.0)


def recursion(servers: int, load: float) -> float:
    """Erlang B by its textbook recursion."""
    lost = 1.0
    for n in range(1, servers + 1):
        lost = load * lost / (n + load * lost)
    return lost


# Printed tables of Erlang B: (servers, Erlangs) at a loss of 1 %, 2 % and 5 %.
@pytest.mark.parametrize(
    ("servers", "load", "lost"),
    [(1, 0.0101, 0.01), (5, 1.3608, 0.01), (10, 4.4612, 0.01), (20, 12.031, 0.01), (100, 84.064, 0.01),
     (10, 5.0840, 0.02), (50, 40.255, 0.02), (10, 6.2157, 0.05), (30, 24.802, 0.05)],
)  # fmt: skip
def test_loss_is_the_tables(servers, load, lost):
    assert queueing.erlang_b(servers=servers, load=load) == pytest.approx(lost, rel=2e-3)


# Two servers by hand: a^2 / 2 / (1 - a / 2) over 1 + a + that, which is a^2 / (2 + a). Others: printed tables.
@pytest.mark.parametrize(
    ("servers", "load", "waits"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (5, 3.0, 0.2362), (10, 8.0, 0.4092), (20, 16.0, 0.2561)]
)
def test_waiting_is_the_tables(servers, load, waits):
    assert queueing.erlang_c(servers=servers, load=load) == pytest.approx(waits, abs=1e-4)


@given(st.integers(1, 400), LOADS)
def test_loss_is_the_recursion(servers, load):
    assert queueing.erlang_b(servers=servers, load=load) == pytest.approx(recursion(servers, load), rel=1e-8, abs=1e-280)


@given(st.integers(1, 300), st.floats(0.01, 0.99))
def test_a_server_more_shortens_the_queue(servers, share):
    load = servers * share
    waits = queueing.erlang_c(servers=np.array([servers, servers + 1]), load=load)
    assert 0 <= waits[1] <= waits[0] <= 1


def test_no_wait_that_ends_beyond_the_servers():
    assert queueing.erlang_c(servers=3, load=3.0) == 1.0
    assert queueing.mean_wait_s(servers=3, load=4.0, service_s=1.0) == np.inf
    assert queueing.wait_s(servers=3, load=3.0, service_s=1.0, share=0.5) == np.inf


def test_one_server_waits_as_textbooks_say():
    # M/M/1: the mean wait is load / (1 - load) services; P(wait > t) = load x exp(-(1 - load) t / service)
    assert queueing.mean_wait_s(servers=1, load=0.8, service_s=2.0) == pytest.approx(8.0)
    late = queueing.wait_s(servers=1, load=0.8, service_s=2.0, share=0.9)
    assert 0.8 * np.exp(-0.2 * late / 2.0) == pytest.approx(0.1)
    assert queueing.wait_s(servers=1, load=0.5, service_s=2.0, share=0.5) == 0.0


def test_most_load_and_servers_are_inverses():
    load = queueing.most_load(servers=1000, wait_probability=0.05)
    assert queueing.erlang_c(servers=1000, load=load) == pytest.approx(0.05, rel=1e-4)
    assert queueing.servers_for(load=load * 0.999999, wait_probability=0.05) == 1000
    assert queueing.servers_for(load=load * 1.0001, wait_probability=0.05) == 1001
    assert queueing.servers_for(load=0.01, wait_probability=0.5) == 1


@given(st.floats(30.0, 3000.0), st.floats(0.05, 0.6))
def test_square_root_rule_is_close(load, wait_probability):
    exact = queueing.servers_for(load=load, wait_probability=wait_probability)
    assert queueing.square_root_servers(load=load, wait_probability=wait_probability) == pytest.approx(exact, abs=2.5)


def test_spares_by_hand():
    # Two needed, each up 9 times of 10: two alone 0.81; of three at least two 0.972; of four 0.9963.
    for spares, chance in enumerate((0.81, 0.972, 0.9963)):
        assert queueing.spares_for(needed=2, availability=0.9, target=chance - 1e-6) == spares
        assert queueing.spares_for(needed=2, availability=0.9, target=chance + 1e-6) == spares + 1
    assert queueing.spares_for(needed=5, availability=1.0, target=0.9999) == 0
    with pytest.raises(InputError, match="never makes"):
        queueing.spares_for(needed=10_000, availability=0.5, target=0.999)
