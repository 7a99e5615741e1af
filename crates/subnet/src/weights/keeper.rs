//! The weights of a validator that runs: each closed epoch's are taken, and brought onto the chain.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::WeightSetter;
use crate::WeightError;
use crate::validator::Validator;

/// How often it is looked whether it is time for something.
const PAUSE: Duration = Duration::from_secs(2);

/// Goes on until it is stopped. What cannot be done now is tried again: the validator does not depend on it.
pub(crate) async fn keep(mut setter: WeightSetter, validator: Arc<Validator>, stop: CancellationToken) {
    let mut said = None;
    loop {
        match step(&mut setter, &validator).await {
            Ok(()) => said = None,
            Err(error) => {
                let error = error.to_string();
                // Once, and not every two seconds of a night without a node.
                if said.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the weights wait");
                }
                said = Some(error);
            }
        }
        let status = setter.status();
        validator.weights_are(super::Status { alarm: status.alarm.or_else(|| said.clone()), ..status });
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn step(setter: &mut WeightSetter, validator: &Validator) -> Result<(), WeightError> {
    let Some((epoch, weights)) = validator.weights().await? else { return setter.advance().await.map(drop) };
    // Those of an epoch that it has seen are ignored.
    setter.compute(epoch, weights)?;
    setter.advance().await?;
    match setter.status().weights {
        Some((known, _)) if known > epoch => Err(WeightError::Behind { known, epoch }),
        _ => Ok(()),
    }
}
