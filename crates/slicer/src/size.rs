//! What a circuit takes beside its rows: bytes of its key, time and memory of a proof.

use zkslice_circuit::Layout;

/// Bytes of a proving key of the committed form, from its layout: 64 a G1 point, 128 a G2 point.
pub fn key_bytes(layout: &Layout) -> usize {
    let early = layout.public_wires() + layout.committed_wires();
    let g1 = layout.wires() + early + layout.committed_wires() + layout.second_round_wires() + layout.rows().next_power_of_two();
    64 * g1 + 128 * early
}

/// Rough seconds on two cores and bytes of memory to prove a circuit of that layout (measured: `docs/benchmarks.md`).
pub fn prove_estimate(layout: &Layout) -> (f64, usize) {
    const SECONDS_A_ROW: f64 = 6e-6;
    const BYTES_A_DOMAIN_ROW: usize = 1000;
    let domain = layout.rows().next_power_of_two();
    (domain as f64 * SECONDS_A_ROW, key_bytes(layout) + domain * BYTES_A_DOMAIN_ROW)
}
