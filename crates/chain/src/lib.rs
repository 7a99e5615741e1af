//! Contract bindings, deployment manifests, idempotent deployment and signers.
