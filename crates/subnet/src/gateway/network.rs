//! Who proves, and what was signed of it.

use std::net::SocketAddr;
use std::sync::Arc;

use alloy::hex;
use alloy::primitives::{Address, B256};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{At, Gateway, Problem, counted, word};
use crate::draws::Draw;
use crate::metrics::MEDIA_TYPE;
use crate::transport::websocket;
use crate::validator::ReceiptsView;

/// Lost assignments that are listed of a miner.
const MOST_LOST: u32 = 100;

/// A model that can be proven.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelInfo {
    /// Digest of the model with its keys.
    #[schema(value_type = String)]
    digest: B256,
    /// Its name.
    name: String,
    /// Units of each slice.
    units: Vec<u32>,
}

/// A miner.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MinerInfo {
    /// Its address.
    #[schema(value_type = String)]
    address: Address,
    /// Whether it is connected.
    connected: bool,
    /// Slices that it may have at a time, which is neither paid nor scored.
    window: u32,
    /// Slices: proven, with a proof that does not hold, with none in time, declined.
    valid: u64,
    invalid: u64,
    missed: u64,
    declined: u64,
    /// Units of what it has proven.
    units: u64,
    /// From assignment to hand-in, of its last slices.
    median_ms: Option<u64>,
    /// Of all its receipts.
    credit: u64,
    debit: u64,
    /// After the last closed epoch.
    score: u64,
    /// Until when it gets nothing, Unix time in milliseconds; 0 if it may.
    quarantined_until_ms: u64,
}

/// A miner, and what it lost.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MinerDetail {
    #[serde(flatten)]
    miner: MinerInfo,
    /// Its last assignments that brought it nothing, and why; the newest first.
    lost: Vec<LostAssignment>,
}

/// An assignment that brought its miner nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LostAssignment {
    /// EIP-712 hash.
    #[schema(value_type = String)]
    assignment: B256,
    /// Job, slice and units.
    #[schema(value_type = String)]
    job: B256,
    slice: u16,
    units: u32,
    /// declined, missed, cancelled, invalid, late, superseded.
    outcome: String,
    /// Why.
    reason: String,
    /// Until when a proof would have counted, Unix time in milliseconds.
    deadline_ms: u64,
}

/// Signed messages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedMessages {
    /// EIP-712 domain: chain and registry.
    chain_id: u64,
    #[schema(value_type = String)]
    registry: Address,
    /// ABI encoding of the assignment, then r, s and v; none of epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignment: Option<String>,
    /// ABI encoding of the miner's hand-in, which names the proof's hash, then r, s and v; none where nothing came in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    hand_in: Option<String>,
    /// ABI encodings of receipts or roots, each followed by r, s and v.
    messages: Vec<String>,
}

/// Weights on their way to a chain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WeightsInfo {
    /// The epoch whose weights they are; none before the first is closed.
    epoch: Option<u64>,
    /// computed, committed, revealable, revealed.
    state: Option<String>,
    /// Whether those of a newer epoch wait for them.
    next_waits: bool,
    /// Why they do not get on.
    alarm: Option<String>,
}

/// Where the network is, and who its validator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct About {
    /// The validator's address.
    #[schema(value_type = String)]
    validator: Address,
    /// EIP-155 id of the home chain, and where the network's nodes are registered on it.
    chain_id: u64,
    #[schema(value_type = String)]
    registry: Address,
    /// Hash of the constants that it scores by.
    #[schema(value_type = String)]
    parameters: B256,
    /// Port that it listens for miners at, by QUIC; none where it does not.
    quic_port: Option<u16>,
}

/// Where the network is, and who its validator: what miners ask first.
#[utoipa::path(get, path = "/v1/about", tag = "network", responses((status = 200, body = About)))]
pub(super) async fn about(State(gateway): State<Gateway>) -> Json<About> {
    let identity = gateway.validator.identity();
    Json(About {
        validator: identity.node.address(),
        chain_id: identity.network.chain_id,
        registry: identity.network.registry,
        parameters: identity.parameters,
        quic_port: gateway.settings.quic_port,
    })
}

/// Models that can be proven.
#[utoipa::path(get, path = "/v1/models", tag = "network", responses((status = 200, body = Vec<ModelInfo>)))]
pub(super) async fn models(State(gateway): State<Gateway>) -> Json<Vec<ModelInfo>> {
    let models = gateway.validator.model_infos();
    Json(models.into_iter().map(|(digest, name, units)| ModelInfo { digest, name, units }).collect())
}

async fn infos(gateway: &Gateway, of: Option<Address>) -> Result<Vec<MinerInfo>, Problem> {
    let miners = gateway.validator.miners(of).await?;
    let info = |miner: crate::validator::MinerView| {
        let [valid, invalid, missed, declined] = miner.counts;
        MinerInfo {
            address: miner.address,
            connected: miner.is_connected,
            window: miner.window,
            valid,
            invalid,
            missed,
            declined,
            units: miner.units,
            median_ms: miner.median_ms,
            credit: miner.credit,
            debit: miner.debit,
            score: miner.score,
            quarantined_until_ms: miner.quarantined_until_ms,
        }
    };
    Ok(miners.into_iter().map(info).collect())
}

/// All miners that were ever given something, and those that are connected.
#[utoipa::path(get, path = "/v1/miners", tag = "network", responses((status = 200, body = Vec<MinerInfo>)))]
pub(super) async fn miners(State(gateway): State<Gateway>) -> Result<Json<Vec<MinerInfo>>, Problem> {
    Ok(Json(infos(&gateway, None).await?))
}

/// A miner, and why it lost what it lost.
#[utoipa::path(get, path = "/v1/miners/{address}", tag = "network", params(("address" = String, Path)),
    responses((status = 200, body = MinerDetail), (status = "4XX", body = Problem)))]
pub(super) async fn miner(State(gateway): State<Gateway>, At(address): At<String>) -> Result<Json<MinerDetail>, Problem> {
    let address: Address = address.parse().map_err(|_| Problem::new(StatusCode::BAD_REQUEST, format!("'{address}' is no address")))?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, format!("no miner {address} was here"));
    let miner = infos(&gateway, Some(address)).await?.into_iter().next().ok_or_else(unknown)?;
    let lost = gateway.validator.lost(address, MOST_LOST).await?.into_iter().map(|lost| LostAssignment {
        assignment: lost.assignment,
        job: lost.job,
        slice: lost.slice,
        units: lost.units,
        outcome: lost.state.as_str().to_owned(),
        reason: lost.reason,
        deadline_ms: lost.deadline_ms,
    });
    Ok(Json(MinerDetail { miner, lost: lost.collect() }))
}

/// An assignment and its receipts.
#[utoipa::path(get, path = "/v1/receipts/{assignment}", tag = "network", params(("assignment" = String, Path)),
    responses((status = 200, body = SignedMessages), (status = "4XX", body = Problem)))]
pub(super) async fn receipts(State(gateway): State<Gateway>, At(assignment): At<String>) -> Result<Json<SignedMessages>, Problem> {
    let hash = word(&assignment)?;
    let found = gateway.validator.receipts_of(hash).await?;
    let found = found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("no assignment {hash} was made")))?;
    let ReceiptsView { assignment, hand_in, receipts } = found;
    Ok(Json(signed(&gateway, [Some(assignment), hand_in], receipts)))
}

fn signed(gateway: &Gateway, of_assignment: [Option<Vec<u8>>; 2], messages: Vec<Vec<u8>>) -> SignedMessages {
    let [assignment, hand_in] = of_assignment.map(|message| message.map(hex::encode_prefixed));
    let network = gateway.validator.identity().network;
    SignedMessages {
        chain_id: network.chain_id,
        registry: network.registry,
        assignment,
        hand_in,
        messages: messages.into_iter().map(hex::encode_prefixed).collect(),
    }
}

/// The root of a closed epoch.
#[utoipa::path(get, path = "/v1/epochs/{epoch}", tag = "network", params(("epoch" = u64, Path)),
    responses((status = 200, body = SignedMessages), (status = "4XX", body = Problem)))]
pub(super) async fn epoch(State(gateway): State<Gateway>, At(epoch): At<u64>) -> Result<Json<SignedMessages>, Problem> {
    let root = gateway.validator.epoch_root(epoch).await?;
    let root = root.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("epoch {epoch} is not closed")))?;
    Ok(Json(signed(&gateway, [None, None], vec![root])))
}

/// Where a validator's weights are on their way to a chain.
#[utoipa::path(get, path = "/v1/weights", tag = "network", responses((status = 200, body = WeightsInfo), (status = "4XX", body = Problem)))]
pub(super) async fn weights(State(gateway): State<Gateway>) -> Result<Json<WeightsInfo>, Problem> {
    let status = gateway.validator.on_chain();
    let status = status.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "this validator brings no weights onto a chain".to_owned()))?;
    let (epoch, state) = status.weights.unzip();
    Ok(Json(WeightsInfo {
        epoch,
        state: state.map(|state| state.as_str().to_owned()),
        next_waits: status.is_next_here,
        alarm: status.alarm,
    }))
}

/// Draws of a closed epoch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Draws {
    /// In order, at most 500 at a time, and fewer where they have many candidates. None: these were all.
    draws: Vec<Draw>,
}

/// Which draws.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Number of the last draw that is known; 0 for the first ones.
    #[serde(default)]
    after: u64,
}

/// Who got which slice in a closed epoch, and whom it was drawn from: with the beacon of the epoch's root anyone draws again.
#[utoipa::path(get, path = "/v1/epochs/{epoch}/draws", tag = "network", params(("epoch" = u64, Path), After),
    responses((status = 200, body = Draws), (status = "4XX", body = Problem)))]
pub(super) async fn draws(
    State(gateway): State<Gateway>,
    At(epoch): At<u64>,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Json<Draws>, Problem> {
    let Query(After { after }) = after.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let draws = gateway.validator.draws(epoch, after).await?;
    let draws = draws.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("epoch {epoch} is not closed")))?;
    Ok(Json(Draws { draws }))
}

/// The door for miners that cannot come by QUIC: one WebSocket.
#[utoipa::path(get, path = "/v1/network", tag = "network", responses((status = 101, description = "A WebSocket"), (status = "4XX", body = Problem)))]
pub(super) async fn join(
    State(gateway): State<Gateway>,
    address: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    socket: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let ip = address.map(|axum::Extension(ConnectInfo(address))| address.ip().to_canonical());
    // Before anything of theirs is verified, as by QUIC.
    if ip.is_some_and(|ip| gateway.knocks.check_key(&counted(ip)).is_err()) {
        return Err(Problem::later(StatusCode::TOO_MANY_REQUESTS, "your address knocks too often", 10));
    }
    let permit = Arc::clone(&gateway.handshakes).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::later(StatusCode::SERVICE_UNAVAILABLE, "too many knock at a time", 5))?;
    // A frame's length is held against its limit before there is room made for it.
    let most = websocket::most_from_miners();
    Ok(socket.max_message_size(most).max_frame_size(most).on_upgrade(async move |socket| {
        match websocket::accept(socket, &gateway.validator.identity(), ip, Arc::clone(&gateway.settings.room)).await {
            Ok(link) => gateway.validator.connect(link),
            Err(error) => {
                tracing::debug!(ip = ip.map(tracing::field::display), %error, "not let in");
                gateway.validator.handshake_refused(error.kind());
            }
        }
        drop(permit);
    }))
}

/// What is counted of the validator, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "network", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(gateway): State<Gateway>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], gateway.validator.metrics().await)
}

/// Whether the process is there.
#[utoipa::path(get, path = "/health", tag = "network", responses((status = 200, description = "It is")))]
pub(super) async fn health() -> StatusCode {
    StatusCode::OK
}

/// Whether it takes jobs: its store is writable, and it serves a model.
#[utoipa::path(get, path = "/ready", tag = "network", responses((status = 200, description = "It does"), (status = 503, body = Problem)))]
pub(super) async fn ready(State(gateway): State<Gateway>) -> Result<StatusCode, Problem> {
    let is_ready = gateway.validator.is_ready().await;
    if is_ready { Ok(StatusCode::OK) } else { Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, "the validator takes no jobs now", 5)) }
}
