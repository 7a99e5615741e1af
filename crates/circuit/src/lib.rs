//! Compact R1CS, gadgets with proven bounds, lowering of integer graphs and witness generation.
