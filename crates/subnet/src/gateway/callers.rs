//! Who asks: whoever shows a key, or signs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use alloy::primitives::{Address, B256};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use sha2::{Digest, Sha256};

use super::{Gateway, Problem};
use crate::request::{Asked, Authorization, MOST_AHEAD_MS, SCHEME};

/// Nonces of a caller that are remembered: with more than that in five minutes it waits.
const MOST_NONCES: usize = 1 << 15;

/// Whoever has shown a key, or signed.
pub(super) struct Caller(pub(super) String);

/// Hash of the body that was signed: whoever reads the body compares.
#[derive(Clone, Copy)]
pub(super) struct SignedBody(pub(super) B256);

/// Nonces that were used, until their requests expire.
pub(super) struct Used {
    /// Whatever was signed before expires by then: nonces from before are forgotten.
    from_before_ms: u64,
    nonces: Mutex<HashMap<Address, HashMap<B256, u64>>>,
}

impl Used {
    pub(super) fn since(now: u64) -> Self {
        Self { from_before_ms: now.saturating_add(MOST_AHEAD_MS), nonces: Mutex::default() }
    }

    /// Uses a nonce, once.
    fn take(&self, caller: Address, nonce: B256, expires_ms: u64, now: u64) -> Result<(), Problem> {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let of_caller = nonces.entry(caller).or_default();
        if of_caller.len() >= MOST_NONCES {
            of_caller.retain(|_, until| *until > now);
        }
        if of_caller.contains_key(&nonce) {
            return Err(Problem::new(StatusCode::CONFLICT, "a request with this nonce was here before: sign it again with another nonce"));
        }
        if of_caller.len() >= MOST_NONCES {
            return Err(Problem::later(StatusCode::TOO_MANY_REQUESTS, "you have signed too many requests", 10));
        }
        of_caller.insert(nonce, expires_ms);
        Ok(())
    }
}

impl Gateway {
    /// Who has signed a request.
    fn signed(&self, parts: &mut Parts, text: &str) -> Result<String, Problem> {
        let wrong = |detail: String| Problem::new(StatusCode::UNAUTHORIZED, detail);
        let malformed = || {
            wrong(format!("send `Authorization: {SCHEME} expires=UNIX_MS, nonce=0x…, body=0x…, signature=0x…`, as docs/network.md has it"))
        };
        let authorization = Authorization::parse(text).ok_or_else(malformed)?;
        let (now, expires_ms) = (self.validator.now_ms(), authorization.expires_ms);
        if expires_ms <= now || expires_ms > now.saturating_add(MOST_AHEAD_MS) {
            return Err(wrong(format!(
                "the request expires at {expires_ms} ms of Unix time, and it is {now}: let it expire at most {MOST_AHEAD_MS} ms ahead"
            )));
        }
        let identity = self.validator.identity();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let (network, validator, method) = (identity.network, identity.node.address(), parts.method.as_str());
        let signer = authorization.signer(&Asked { network, validator, method, path });
        let name = signer.and_then(|signer| Some((signer, self.settings.signers.get(&signer)?)));
        let Some((signer, name)) = name else {
            let by = signer.map_or_else(|| "nobody".to_owned(), |signer| signer.to_string());
            return Err(wrong(format!(
                "signed for {method} {path} of validator {validator}, registry {} and chain {}, this would be by {by}, whom the operator has \
                 not listed",
                network.registry, network.chain_id
            )));
        };
        if expires_ms <= self.used.from_before_ms {
            // It may have been here before the validator was started again.
            let seconds = self.used.from_before_ms.saturating_sub(expires_ms) / 1_000 + 1;
            let detail = format!("the validator has just been started: sign again, and let it expire {MOST_AHEAD_MS} ms ahead");
            return Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, seconds));
        }
        self.used.take(signer, authorization.nonce, expires_ms, now)?;
        parts.extensions.insert(SignedBody(authorization.body));
        Ok(name.clone())
    }
}

impl FromRequestParts<Gateway> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let shown = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        match shown.as_deref().and_then(|shown| shown.split_once(' ')) {
            Some((SCHEME, text)) => gateway.signed(parts, text).map(Self),
            Some(("Bearer", key)) => {
                // The hash is looked up, and not the key: how long that takes tells nothing of a key.
                let name = gateway.settings.callers.get(&<[u8; 32]>::from(Sha256::digest(key.as_bytes())));
                name.cloned().map(Self).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

fn unknown() -> Problem {
    let detail = "send the key that the operator gave you, `Authorization: Bearer KEY`, or sign the request by one whose address they list";
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}
