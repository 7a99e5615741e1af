//! Cost model, partition of an integer graph into slices, the model package and its manifest.
