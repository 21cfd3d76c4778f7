//! The machine, handed in: clocks, randomness, process hardening.
