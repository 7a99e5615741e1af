//! A validator's API as a source of bundles, for relayers that run elsewhere.

use std::time::Duration;

use alloy::primitives::{Address, B256};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use zeroize::Zeroizing;
use zkslice_chain::http_client;
use zkslice_formats::{Word, hex0x};
use zkslice_prover::{Bound, Bundle, BundleSource, Job, JobInput, ProverError};

use crate::request::{Asked, Authorization};
use crate::transport::random;
use crate::{ClientError, Clock, Network, Node};

/// How long an answer may take: a bundle is waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long to wait where the validator says nothing about it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that it is left alone, whatever it says.
const MOST_PAUSE: Duration = Duration::from_secs(30);
/// After so long without an answer it is not asked any more.
const MOST_PATIENCE: Duration = Duration::from_secs(1_200);
/// How far ahead a signed request expires, in milliseconds: clocks may differ by what is left of five minutes, and a validator
/// takes none for as long after its start.
const AHEAD_MS: u64 = 290_000;
/// Bytes of an answer.
const MOST_ANSWER: usize = 64 << 20;

/// A validator elsewhere.
#[derive(Debug)]
pub struct NetworkProver {
    client: Client,
    url: Url,
    shown: String,
    shows: Credential,
    models: Vec<Word>,
}

/// What the validator knows a caller by.
#[derive(Debug)]
enum Credential {
    Key(Secret),
    Signer { node: Node, network: Network, validator: Address },
}

/// A caller's key, which no message shows.
struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// Where a network is, and who its validator: what miners ask first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct About {
    /// The validator's address.
    pub validator: Address,
    /// EIP-155 id of the home chain.
    pub chain_id: u64,
    /// Where its nodes are registered.
    pub registry: Address,
    /// Port that it listens for QUIC at; none where it does not.
    pub quic_port: Option<u16>,
}

/// What an answer that is none says of itself.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// What a validator says of itself at `/v1/about`.
///
/// # Errors
/// [`ClientError`].
pub async fn about(url: &str) -> Result<About, ClientError> {
    let (client, url, shown) = http_client(url, Duration::from_secs(10))?;
    let answer = client.get(join(&url, "v1/about")).send().await;
    let answer = answer.map_err(|_| ClientError::Away(shown.clone()))?;
    let bytes = read(answer, &shown).await?;
    serde_json::from_slice(&bytes)
        .map_err(|_| ClientError::Answer(shown, "it does not say who the validator is: is this one's address, without /v1?".into()))
}

fn join(url: &Url, path: &str) -> Url {
    let mut joined = url.clone();
    joined.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    joined
}

async fn read(mut answer: reqwest::Response, shown: &str) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| ClientError::Away(shown.to_owned()))? {
        if bytes.len() + chunk.len() > MOST_ANSWER {
            return Err(ClientError::Answer(shown.to_owned(), "it is too long".into()));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

impl NetworkProver {
    /// Connects with the key that the validator's operator gave.
    ///
    /// # Errors
    /// [`ClientError`]: the validator is away, or says something else.
    pub async fn connect(url: &str, key: Zeroizing<String>) -> Result<Self, ClientError> {
        Self::with(url, Credential::Key(Secret(key))).await
    }

    /// Connects as who signs each request by a key whose address the validator's operator lists. `validator` is what requests are signed for:
    /// whoever else is at the address can do nothing with them.
    ///
    /// # Errors
    /// [`ClientError`]: the validator is away, or another one is there.
    pub async fn connect_signing(url: &str, validator: Address, node: Node) -> Result<Self, ClientError> {
        let About { validator: found, chain_id, registry, .. } = about(url).await?;
        if found != validator {
            let shown = http_client(url, PATIENCE)?.2;
            return Err(ClientError::Answer(shown, format!("it is validator {found}, and not {validator}")));
        }
        Self::with(url, Credential::Signer { node, network: Network { chain_id, registry }, validator }).await
    }

    async fn with(url: &str, shows: Credential) -> Result<Self, ClientError> {
        #[derive(Deserialize)]
        struct Model {
            digest: B256,
        }
        let (client, url, shown) = http_client(url, PATIENCE)?;
        let answer = client.get(join(&url, "v1/models")).send().await.map_err(|_| ClientError::Away(shown.clone()))?;
        let models: Vec<Model> = serde_json::from_slice(&read(answer, &shown).await?)
            .map_err(|_| ClientError::Answer(shown.clone(), "it does not list models: is it a validator's address?".into()))?;
        let models = models.into_iter().map(|model| model.digest.0).collect();
        Ok(Self { client, url, shown, shows, models })
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> RequestBuilder {
        let url = join(&self.url, path);
        let shown = match &self.shows {
            Credential::Key(key) => Ok(format!("Bearer {}", key.0.as_str())),
            Credential::Signer { node, network, validator } => {
                let asked = Asked { network: *network, validator: *validator, method: method.as_str(), path: url.path() };
                let expires_ms = Clock::system().now_ms() + AHEAD_MS;
                // Without a signature the validator says what is missing.
                random().map_err(|_| ()).and_then(|nonce| {
                    let signed = Authorization::sign(node, &asked, &body, expires_ms, nonce);
                    signed.map(|signed| signed.to_string()).map_err(|_| ())
                })
            }
        };
        let request = self.client.request(method, url).header(AUTHORIZATION, Zeroizing::new(shown.unwrap_or_default()).as_str());
        if body.is_empty() { request } else { request.header(CONTENT_TYPE, "application/json").body(body) }
    }

    /// Sends a request until it is answered: who is asked for too much, or restarts, is asked again, but not for ever.
    async fn ask(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let began = Instant::now();
        loop {
            if began.elapsed() > MOST_PATIENCE {
                return Err(ClientError::Away(self.shown.clone()));
            }
            let Ok(answer) = request().send().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let status = answer.status();
            let after = answer.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let bytes = match read(answer, &self.shown).await {
                Err(ClientError::Away(_)) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                other => other?,
            };
            match status {
                StatusCode::OK | StatusCode::ACCEPTED => return Ok(bytes),
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    tokio::time::sleep(after.map_or(PAUSE, Duration::from_secs).clamp(PAUSE, MOST_PAUSE)).await;
                }
                _ => {
                    let detail = serde_json::from_slice::<Problem>(&bytes).map_or_else(|_| status.to_string(), |problem| problem.detail);
                    return Err(ClientError::Refused { url: self.shown.clone(), status: status.as_u16(), detail });
                }
            }
        }
    }
}

/// Gives a job up that nobody waits for any more.
struct Wanted<'a> {
    prover: &'a NetworkProver,
    id: B256,
    is_done: bool,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.is_done, tokio::runtime::Handle::try_current()) {
            let request = self.prover.request(Method::DELETE, &format!("v1/jobs/{}", self.id), Vec::new());
            runtime.spawn(async move { drop(request.send().await) });
        }
    }
}

impl BundleSource for NetworkProver {
    fn models(&self) -> Vec<Word> {
        self.models.clone()
    }

    async fn bundle(&self, job: Job) -> Result<Bundle, ProverError> {
        #[derive(Deserialize)]
        struct Submitted {
            id: B256,
        }
        let task = |error: ClientError| match error {
            ClientError::Refused { status: 404, .. } => ProverError::Model { model: hex0x(&job.model) },
            // What the model cannot compute, no other try can.
            ClientError::Refused { status: 422, detail, .. } => ProverError::Input { input: "of the request".into(), reason: detail },
            other => ProverError::Task(other.to_string()),
        };
        let mut inputs = Vec::new();
        for input in &job.inputs {
            match input {
                JobInput::Words(words) => inputs.push(words.iter().map(|word| hex0x(word)).collect::<Vec<_>>()),
                JobInput::Commitment(commitment) => return Err(ProverError::Opening { commitment: hex0x(commitment) }),
            }
        }
        let body = json!({ "model": hex0x(&job.model), "context": hex0x(&job.context), "inputs": inputs }).to_string();
        let submitted = self.ask(|| self.request(Method::POST, "v1/jobs", body.clone().into_bytes())).await.map_err(task)?;
        let malformed = |what: &str| ProverError::Task(format!("{}: {what}", self.shown));
        let Submitted { id } = serde_json::from_slice(&submitted).map_err(|_| malformed("its answer names no job"))?;
        let mut wanted = Wanted { prover: self, id, is_done: false };
        let bundle = self.ask(|| self.request(Method::GET, &format!("v1/jobs/{id}/bundle"), Vec::new())).await;
        wanted.is_done = true;
        let bundle = Bundle::from_json(&bundle.map_err(task)?).map_err(|error| malformed(&error.to_string()))?;
        // Of another job it would be refused on chain, for gas.
        let mut tensors = bundle.tensors.iter().flatten();
        let is_shown = |input: &JobInput| match input {
            JobInput::Words(words) => tensors.any(|tensor| matches!(tensor, Bound::Words(shown) if shown == words)),
            JobInput::Commitment(_) => false,
        };
        if (bundle.model, bundle.context, bundle.owner) != (job.model, job.context, job.owner) || !job.inputs.iter().all(is_shown) {
            return Err(malformed("its bundle is of another job"));
        }
        Ok(bundle)
    }
}
