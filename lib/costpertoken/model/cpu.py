"""The two roofs of a processor from what its data sheet counts: memory channels, cores, vector or matrix units and clock.

Left out: caches, clocks that fall under wide vectors, and traffic between sockets; `Efficiency` holds the shares reached.
"""

from dataclasses import replace


def bandwidth_bytes_per_s(*, sockets, channels_per_socket, transfers_per_s, bytes_per_transfer):
    """Bytes per second that all memory channels carry at their transfer rate. Arrays broadcast."""
    return sockets * channels_per_socket * transfers_per_s * bytes_per_transfer


def peak_flop_per_s(*, sockets, cores_per_socket, clock_hz, flop_per_cycle):
    """FLOP per second of all cores at one clock; flop_per_cycle: of one core in one number format, a multiply-add two."""
    return sockets * cores_per_socket * clock_hz * flop_per_cycle


def part_of(machine, *, share, memory_bytes):
    """The part of an Accelerator that a smaller instance is: its share of bandwidth and peak, and its own memory."""
    peaks = {fmt: share * rate for fmt, rate in machine.peak_flop_per_s.items()}
    return replace(
        machine, memory_bytes=memory_bytes, memory_bytes_per_s=share * machine.memory_bytes_per_s, peak_flop_per_s=peaks
    )
