//! The validator's HTTP API, and the door for miners that come by WebSocket.
//!
//! Whoever wants something proven shows a key that the operator gave them, or signs the request by a key of their own that the operator
//! lists; what everybody may see needs neither. Errors are those of RFC 9457.

mod blobs;
mod callers;
mod jobs;
mod listen;
mod network;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::blobs::Shelf;
use crate::config::address;
use crate::transport::quic::counted;
use crate::validator::Validator;
use crate::{JobError, StoreError};

/// Bytes of a request's body.
const MOST_BODY: usize = 8 << 20;
/// Bytes of a request's body from those who show no key.
const MOST_QUESTION: usize = 1 << 10;
/// Addresses whose requests are counted; beyond, those that have been quiet are forgotten.
const MOST_COUNTED: usize = 1 << 16;
/// Handshakes of miners at a time.
const MOST_HANDSHAKES: usize = 256;
/// Requests of a caller's that wait for something at a time.
const MOST_WAITING: usize = 256;

pub use blobs::serve_blobs;
pub use listen::{Connections, listen};

use callers::{Caller, SignedBody, Used};

/// What an operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SHA-256 of each caller's key, and the caller's name.
    pub callers: BTreeMap<[u8; 32], String>,
    /// Addresses of callers who sign, and the caller's name.
    pub signers: BTreeMap<Address, String>,
    /// How long the body of a request may take.
    pub body: Duration,
    /// Jobs that a caller may send in a second.
    pub jobs_per_second: NonZeroU32,
    /// Requests that an address may send in a second, of whatever kind.
    pub requests_per_second: NonZeroU32,
    /// How often an address may knock in a minute to mine.
    pub handshakes_per_minute: NonZeroU32,
    /// Bytes of miners' frames that may be here at a time.
    pub room: Arc<Semaphore>,
    /// Port that the validator listens for QUIC at.
    pub quic_port: Option<u16>,
}

impl Settings {
    /// For callers with these keys, by name; one that is an address is that of a key which the caller signs by.
    pub fn new(keys: impl IntoIterator<Item = (String, String)>, room: Arc<Semaphore>) -> Self {
        let (mut callers, mut signers) = (BTreeMap::new(), BTreeMap::new());
        for (name, key) in keys {
            match address(&key) {
                Some(address) => signers.insert(address, name),
                None => callers.insert(Sha256::digest(key.as_bytes()).into(), name),
            };
        }
        let body = Duration::from_secs(30);
        let [jobs_per_second, requests_per_second] = [NonZeroU32::MIN.saturating_add(9), NonZeroU32::MIN.saturating_add(99)];
        let handshakes_per_minute = NonZeroU32::MIN.saturating_add(59);
        Self { callers, signers, body, jobs_per_second, requests_per_second, handshakes_per_minute, room, quic_port: None }
    }
}

#[derive(Clone)]
struct Gateway {
    validator: Arc<Validator>,
    settings: Arc<Settings>,
    of_callers: Arc<DefaultKeyedRateLimiter<String>>,
    of_addresses: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    knocks: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    handshakes: Arc<Semaphore>,
    /// Requests of each caller that wait for something.
    waiting: Arc<Mutex<HashMap<String, usize>>>,
    /// Nonces of signed requests.
    used: Arc<Used>,
    /// The packages' files.
    shelf: Arc<Shelf>,
}

/// A request that waits for something: one of a caller's, until it is dropped.
struct Waiting(Arc<Mutex<HashMap<String, usize>>>, String);

impl Gateway {
    /// A caller waits for what happens to a job.
    fn waits(&self, caller: String) -> Result<Waiting, Problem> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.entry(caller.clone()).or_default();
        if *count >= MOST_WAITING {
            return Err(Problem::later(StatusCode::TOO_MANY_REQUESTS, "you wait for too much at a time", 1));
        }
        *count += 1;
        drop(waiting);
        Ok(Waiting(Arc::clone(&self.waiting), caller))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.1);
            }
        }
    }
}

/// An error, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
struct Problem {
    /// What kind of error it is: `about:blank`, since the status says it.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl std::fmt::Display) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { r#type: "about:blank", title, status: status.as_u16(), detail: detail.to_string(), retry_after: None }
    }

    fn later(status: StatusCode, detail: impl std::fmt::Display, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let problem = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the validator's store failed; its operator's log has more")
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Model(_) | JobError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, error),
            JobError::Prover(_) | JobError::Owner | JobError::HandOver(_) | JobError::Deadline { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error)
            }
            JobError::Name(_) => Self::new(StatusCode::CONFLICT, error),
            JobError::Over { .. } => Self::new(StatusCode::GONE, error),
            JobError::Many(_) => Self::later(StatusCode::TOO_MANY_REQUESTS, error, 1),
            JobError::Full => Self::later(StatusCode::SERVICE_UNAVAILABLE, error, 5),
            JobError::Store(error) => error.into(),
            JobError::Bundle(_) | JobError::Link(_) | JobError::Stopped => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }
}

/// JSON that is what the handler takes, or a problem that says why not.
struct Body<T>(T);

impl<T: serde::de::DeserializeOwned> FromRequest<Gateway> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let signed = parts.extensions.get::<SignedBody>().copied();
        let read = Bytes::from_request(Request::from_parts(parts.clone(), body), gateway);
        let slow =
            |_| Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {} s", gateway.settings.body.as_secs()));
        let bytes = timeout(gateway.settings.body, read).await.map_err(slow)?;
        let bytes = bytes.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        if signed.is_some_and(|SignedBody(hash)| hash != keccak256(&bytes)) {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "the body is not the one whose keccak256 was signed"));
        }
        match Json::<T>::from_request(Request::from_parts(parts, bytes.into()), gateway).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// A path's parts, or a problem.
struct At<T>(T);

impl<T: serde::de::DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let at = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        at.map(|axum::extract::Path(at)| Self(at)).map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))
    }
}

/// An address may send so much, before anything of it is looked at.
async fn limited(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let ip = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical());
    if let Some(ip) = ip {
        for counts in [&gateway.of_addresses, &gateway.knocks] {
            if counts.len() > MOST_COUNTED {
                counts.retain_recent();
            }
        }
        if gateway.of_addresses.check_key(&counted(ip)).is_err() {
            return Problem::later(StatusCode::TOO_MANY_REQUESTS, "your address sends too many requests", 1).into_response();
        }
    }
    next.run(request).await
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "zkslice validator",
        description = "Has models proven by a network of miners, and says who proved what.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "jobs", description = "What is to be proven"),
        (name = "network", description = "Who proves, and what was signed of it"),
    )
)]
struct Api;

fn router() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(OpenApiRouter::new().routes(routes!(jobs::quote)).layer(DefaultBodyLimit::max(MOST_QUESTION)))
        .routes(routes!(jobs::submit))
        .routes(routes!(jobs::status, jobs::cancel))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::watch))
        .routes(routes!(jobs::bundle))
        .routes(routes!(network::about))
        .routes(routes!(network::models))
        .routes(routes!(blobs::files))
        .routes(routes!(blobs::blob))
        .routes(routes!(network::miners))
        .routes(routes!(network::miner))
        .routes(routes!(network::receipts))
        .routes(routes!(network::epoch))
        .routes(routes!(network::weights))
        .routes(routes!(network::draws))
        .routes(routes!(network::join))
        .routes(routes!(network::metrics))
        .routes(routes!(network::health))
        .routes(routes!(network::ready))
}

/// The API's description, as it is served at `/v1/openapi.json`.
///
/// # Errors
/// Never in practice; the type is the serialiser's.
pub fn openapi() -> Result<String, serde_json::Error> {
    Ok(router().into_openapi().to_pretty_json()? + "\n")
}

/// Serves a validator's API over HTTP.
pub fn serve(validator: Arc<Validator>, settings: Settings) -> axum::Router {
    let shelf = Arc::new(Shelf::default());
    shelf.fill(validator.packages());
    let gateway = Gateway {
        shelf,
        of_callers: Arc::new(RateLimiter::keyed(Quota::per_second(settings.jobs_per_second))),
        of_addresses: Arc::new(RateLimiter::keyed(Quota::per_second(settings.requests_per_second))),
        knocks: Arc::new(RateLimiter::keyed(Quota::per_minute(settings.handshakes_per_minute))),
        handshakes: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
        waiting: Arc::default(),
        used: Arc::new(Used::since(validator.now_ms())),
        validator,
        settings: Arc::new(settings),
    };
    let (router, api) = router().split_for_parts();
    let described = move || {
        let api = api.clone();
        async move { Json(api) }
    };
    router
        .route("/v1/openapi.json", axum::routing::get(described))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is nothing here; /v1/openapi.json says what there is") })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(gateway.clone(), limited))
        .with_state(gateway)
}

/// 32 bytes as a path has them.
fn word(text: &str) -> Result<B256, Problem> {
    let bytes = text.strip_prefix("0x").filter(|digits| digits.len() == 64);
    let parsed = bytes.and_then(|_| text.parse().ok());
    parsed.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, format!("'{text}' is not 0x and 64 hexadecimal digits")))
}

/// How long a connection may stay without a word from here.
const ALIVE: Duration = Duration::from_secs(15);

/// Whether a header is there, and what it says.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_| Problem::new(StatusCode::BAD_REQUEST, format!("the header {name} is not text")))
}
