//! Quotes, jobs, and what happens to them.

use std::convert::Infallible;

use alloy::primitives::{Address, B256, FixedBytes, U256};
use axum::Json;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zkslice_chain::context::owner;
use zkslice_prover::{Job, JobInput, Opening, Salt};

use super::{ALIVE, At, Body, Caller, Gateway, Problem, text, word};
use crate::Signed;
use crate::privacy::{HandOver, Private, Request};
use crate::validator::{JobView, Submission, WatchedEvent};

/// Events that are sent together.
const MOST_EVENTS: u32 = 256;
/// Characters of an idempotency key.
const MOST_NAME: usize = 128;

/// An inference that is to be proven.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobRequest {
    /// Digest of the model with its keys.
    #[schema(value_type = String, example = "0x2a…")]
    model: B256,
    /// Binds the proofs to chain, contract, request and beneficiary, as the oracle computes it; 0 where nothing on chain reads them.
    #[serde(default)]
    #[schema(value_type = String)]
    context: B256,
    /// Packed words of each input, as `zkslice encode` prints them; of a private one its commitment alone.
    #[schema(value_type = Vec<Vec<String>>)]
    inputs: Vec<Vec<B256>>,
    /// Until when the bundle is of use, Unix time in milliseconds.
    deadline_ms: Option<u64>,
    /// What the owner of private inputs has handed over.
    private: Option<PrivateInputs>,
}

/// Private inputs, and their owner's word that this validator, and those who prove for it, may see them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateInputs {
    /// Who requests, and has signed.
    #[schema(value_type = String)]
    requester: Address,
    /// EIP-712 signature of `HandOver`: r, s and v.
    #[schema(value_type = String)]
    signature: FixedBytes<65>,
    /// One of each private input, in order.
    openings: Vec<PrivateInput>,
    /// The request on chain, whose context the job has; none where no contract reads the bundle.
    request: Option<OnChain>,
}

/// A private input.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateInput {
    /// Its integers.
    values: Vec<i64>,
    /// The salt of its commitment.
    #[schema(value_type = String)]
    salt: B256,
}

/// A request on chain, as far as its context depends on it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OnChain {
    /// EIP-155 id of its chain.
    chain_id: u64,
    /// Its oracle.
    #[schema(value_type = String)]
    oracle: Address,
    /// Number of the requester's request.
    #[schema(value_type = String)]
    nonce: U256,
    /// keccak256 of its ABI encoding.
    #[schema(value_type = String)]
    hash: B256,
    /// Whom the oracle pays.
    #[schema(value_type = String)]
    beneficiary: Address,
}

// Values and salts stand in no log.
impl std::fmt::Debug for PrivateInputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateInputs").field("requester", &self.requester).field("request", &self.request).finish_non_exhaustive()
    }
}

impl PrivateInputs {
    /// For a job of this model, with its inputs.
    fn read(self, gateway: &Gateway, model: B256, inputs: &[JobInput]) -> Result<Private, Problem> {
        let (place, request) = self.request.map_or_else(Default::default, |of| {
            ((of.chain_id, of.oracle), Request { nonce: of.nonce, hash: of.hash, beneficiary: of.beneficiary })
        });
        let signed = HandOver::new(gateway.validator.address(), place, self.requester, model, inputs);
        let wrong = |error: &dyn std::fmt::Display| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("private: {error}"));
        let hand_over = Signed::from_parts(signed, &self.signature.0, &gateway.validator.identity().network).map_err(|e| wrong(&e))?;
        let opening = |PrivateInput { values, salt }| Ok(Opening { values, salt: Some(Salt::from_word(salt.0).map_err(|e| wrong(&e))?) });
        Ok(Private { hand_over, request, openings: self.openings.into_iter().map(opening).collect::<Result<_, Problem>>()? })
    }
}

/// Where a job is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobStatus {
    /// Its id.
    #[schema(value_type = String)]
    id: B256,
    /// received, executed, dispatching, complete, delivered, settled; or refused, cancelled, failed.
    state: String,
    /// Why, where that is not plain.
    reason: String,
    /// Its model.
    #[schema(value_type = String)]
    model: B256,
    /// When it came, and until when its bundle is of use: Unix time in milliseconds.
    created_ms: u64,
    deadline_ms: u64,
    /// Its slices.
    slices: Vec<SliceStatus>,
}

/// Where a slice is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SliceStatus {
    /// pending, assigned, checking, proven.
    state: String,
    /// Who proved it: none before, and where the validator did it itself.
    #[schema(value_type = Option<String>)]
    miner: Option<Address>,
    /// By which assignment, of which `/v1/receipts/{assignment}` has what was signed.
    #[schema(value_type = Option<String>)]
    assignment: Option<B256>,
}

/// What a job costs and how long it takes, as things stand.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Quote {
    /// Slices of the model, and units of 1,024 rows in all of them.
    slices: u16,
    units: u64,
    /// In the smallest unit of the network's currency.
    price: String,
    /// Milliseconds that it takes where a miner is free for each slice.
    estimate_ms: u64,
    /// Slices that wait before it.
    waiting: u64,
}

/// Asks what a job would cost.
#[utoipa::path(post, path = "/v1/quotes", tag = "jobs", request_body = JobRequest,
    responses((status = 200, body = Quote), (status = "4XX", body = Problem)))]
pub(super) async fn quote(State(gateway): State<Gateway>, Body(asked): Body<JobRequest>) -> Result<Json<Quote>, Problem> {
    let quote = gateway.validator.quote(asked.model)?;
    Ok(Json(Quote {
        slices: quote.slices,
        units: quote.units,
        price: quote.price.to_string(),
        estimate_ms: quote.estimate_ms,
        waiting: quote.waiting,
    }))
}

/// Has something proven. With an `Idempotency-Key`, the same request again is the same job.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = JobRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The caller's name for the job")),
    responses((status = 202, body = JobStatus), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub(super) async fn submit(
    State(gateway): State<Gateway>,
    Caller(caller): Caller,
    headers: HeaderMap,
    Body(asked): Body<JobRequest>,
) -> Result<Response, Problem> {
    if gateway.of_callers.check_key(&caller).is_err() {
        return Err(Problem::later(StatusCode::TOO_MANY_REQUESTS, "you send too many jobs", 1));
    }
    let idempotency = text(&headers, "idempotency-key")?.map(str::to_owned);
    if idempotency.as_ref().is_some_and(|name| name.is_empty() || name.len() > MOST_NAME) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("an Idempotency-Key has 1 to {MOST_NAME} characters")));
    }
    let is_private = gateway.validator.private_inputs(asked.model)?;
    let input = |(k, words): (usize, Vec<B256>)| match (is_private.get(k), &words[..]) {
        (Some(true), [commitment]) => JobInput::Commitment(commitment.0),
        _ => JobInput::Words(words.into_iter().map(|word| word.0).collect()),
    };
    let inputs: Vec<JobInput> = asked.inputs.into_iter().enumerate().map(input).collect();
    let owner = asked.private.as_ref().map_or([0; 32], |private| owner(asked.model, private.requester).0);
    let private = asked.private.map(|private| private.read(&gateway, asked.model, &inputs)).transpose()?;
    let job = Job { model: asked.model.0, context: asked.context.0, owner, inputs };
    let submission = Submission { job, private, deadline_ms: asked.deadline_ms, caller: caller.clone(), idempotency };
    let id = gateway.validator.submit(submission).await?;
    let status = status_of(&gateway, id, &caller).await?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, format!("/v1/jobs/{id}"))], Json(status)).into_response())
}

async fn status_of(gateway: &Gateway, id: B256, caller: &str) -> Result<JobStatus, Problem> {
    let JobView { state, reason, model, created_ms, deadline_ms, slices } = gateway.validator.view(id, caller).await?;
    let slices = slices.into_iter().map(|(state, by)| {
        let (miner, assignment) = by.unzip();
        SliceStatus { state: state.as_str().to_owned(), miner, assignment }
    });
    Ok(JobStatus { id, state: state.as_str().to_owned(), reason, model, created_ms, deadline_ms, slices: slices.collect() })
}

/// Says where a job is.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobStatus), (status = "4XX", body = Problem)))]
pub(super) async fn status(State(gateway): State<Gateway>, Caller(caller): Caller, At(id): At<String>) -> Result<Json<JobStatus>, Problem> {
    Ok(Json(status_of(&gateway, word(&id)?, &caller).await?))
}

/// Gives a job up; one that is complete is settled, so that the same request is a new job.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobStatus), (status = "4XX", body = Problem)))]
pub(super) async fn cancel(State(gateway): State<Gateway>, Caller(caller): Caller, At(id): At<String>) -> Result<Json<JobStatus>, Problem> {
    let id = word(&id)?;
    gateway.validator.view(id, &caller).await?;
    gateway.validator.close(id).await?;
    Ok(Json(status_of(&gateway, id, &caller).await?))
}

/// The bundle, when it is complete: waits for it.
#[utoipa::path(get, path = "/v1/jobs/{id}/bundle", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, description = "Canonical JSON of the bundle", content_type = "application/json"), (status = "4XX", body = Problem)))]
pub(super) async fn bundle(State(gateway): State<Gateway>, Caller(caller): Caller, At(id): At<String>) -> Result<Response, Problem> {
    let id = word(&id)?;
    gateway.validator.view(id, &caller).await?;
    let _waiting = gateway.waits(caller)?;
    let bundle = gateway.validator.bundle_of(id).await?;
    let json = bundle.to_json().map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

fn event(event: &WatchedEvent) -> serde_json::Value {
    serde_json::json!({ "id": event.id, "at_ms": event.at_ms, "event": event.kind, "slice": event.slice })
}

/// What happens to a job, as server-sent events. Whoever sends `Last-Event-ID` gets what came after it.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs", params(("id" = String, Path), ("Last-Event-ID" = Option<u64>, Header)),
    responses((status = 200, description = "Events, until the job is over", content_type = "text/event-stream"), (status = "4XX", body = Problem)))]
pub(super) async fn events(
    State(gateway): State<Gateway>,
    Caller(caller): Caller,
    headers: HeaderMap,
    At(id): At<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let id = word(&id)?;
    gateway.validator.view(id, &caller).await?;
    let wrong = |_| Problem::new(StatusCode::BAD_REQUEST, "Last-Event-ID is not a number");
    let last: u64 = text(&headers, "last-event-id")?.map(str::parse).transpose().map_err(wrong)?.unwrap_or_default();
    let waiting = gateway.waits(caller)?;
    let begin = ((gateway, waiting), last, Vec::new().into_iter(), false);
    let stream = futures_util::stream::unfold(begin, move |(of, mut last, mut ready, mut is_over)| async move {
        loop {
            if let Some(next) = ready.next() {
                let next: WatchedEvent = next;
                last = next.id;
                let sent = Event::default().id(next.id.to_string()).event(next.kind.clone()).data(event(&next).to_string());
                return Some((Ok(sent), (of, last, ready, is_over)));
            }
            if is_over {
                return None;
            }
            let (events, over) = of.0.validator.events_after(id, last, MOST_EVENTS).await.ok()?;
            (ready, is_over) = (events.into_iter(), over);
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// What happens to a job, over a WebSocket: one JSON text for each event.
#[utoipa::path(get, path = "/v1/jobs/{id}/ws", tag = "jobs", params(("id" = String, Path)),
    responses((status = 101, description = "A WebSocket"), (status = "4XX", body = Problem)))]
pub(super) async fn watch(
    State(gateway): State<Gateway>,
    Caller(caller): Caller,
    At(id): At<String>,
    socket: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let id = word(&id)?;
    gateway.validator.view(id, &caller).await?;
    let waiting = gateway.waits(caller)?;
    Ok(socket.max_message_size(1 << 10).max_frame_size(1 << 10).on_upgrade(async move |mut socket: WebSocket| {
        let _waiting = waiting;
        let mut last = 0;
        loop {
            let next = tokio::select! {
                events = gateway.validator.events_after(id, last, MOST_EVENTS) => events,
                // Whoever watches says nothing, but that it goes.
                said = socket.recv() => if matches!(said, None | Some(Err(_) | Ok(Message::Close(_)))) { return } else { continue },
            };
            let Ok((events, is_over)) = next else { return };
            for each in events {
                last = each.id;
                if socket.send(Message::Text(event(&each).to_string().into())).await.is_err() {
                    return;
                }
            }
            if is_over {
                let _ = socket.send(Message::Close(None)).await;
                return;
            }
        }
    }))
}
