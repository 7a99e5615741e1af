//! Groth16 over BN254 with one commitment round: setup, prove, verify, key and proof formats.
