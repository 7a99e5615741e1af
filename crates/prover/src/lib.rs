//! A model package and an input become a bundle of slice proofs; bundle, statement and context.
