//! `zkslice ceremony serve`: a ceremony's coordinator over HTTP, and what a contributor does with one.
//!
//! ```text
//! GET  /                          what this is
//! GET  /status                    circuits, beacon, who contributed with their hashes, who waits
//! GET  /ceremony/{hash}           the file after the contribution of this hash
//! POST /queue      name, ticket   takes somebody into the queue; the ticket, which they draw, shows who they are
//! GET  /queue/{ticket}            place, bytes received, seconds left
//! PUT  /contribution/{ticket}/{offset}   the next bytes of a contribution
//! POST /contribution/{ticket}     it is whole: checked, and the next one's turn begins
//! ```
//!
//! What the coordinator refuses it says in RFC 9457's problem details; a request that is none of these gets plain text.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ark_std::rand::rngs::OsRng;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRef, Path as Part, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;
use zkslice_ceremony::{Ceremony, CeremonyError, Coordinator};
use zkslice_chain::http_client;
use zkslice_formats::hex0x;

use super::ceremony::{check_output, contribute_to, locked, value};
use super::{read, runtime, write_secret};
use crate::error::CliError;
use crate::output::Output;

/// Bytes that are sent at once.
const CHUNK: usize = 1 << 20;
/// How often who waits asks where they are.
const PAUSE: Duration = Duration::from_secs(2);
/// How long an answer may take: the last one of a contribution is given when it has been checked.
const TIMEOUT: Duration = Duration::from_secs(600);
/// A download may take long, but not stand still for so long.
const IDLE: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// No ceremony has more points: those of a domain of 2^27 rows.
const MOST_POINTS: u64 = 1 << 30;
/// How long connections may go on after a signal.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that breaks is tried again so often in a row.
const TRIES: u32 = 20;

type Shared = Arc<Mutex<Coordinator>>;

#[derive(Clone)]
struct Served {
    coordinator: Shared,
    /// Held while a contribution is checked: who asks again, since the answer was lost, waits for it.
    check: Arc<tokio::sync::Mutex<()>>,
}

impl FromRef<Served> for Shared {
    fn from_ref(served: &Served) -> Self {
        Self::clone(&served.coordinator)
    }
}

/// An error as the client is told of it.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, detail) = self;
        let body = json!({ "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

impl From<CeremonyError> for Problem {
    fn from(error: CeremonyError) -> Self {
        let status = match error {
            CeremonyError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            CeremonyError::Refused(_) => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self(status, error.to_string())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Work on the coordinator, one request after the other, away from the threads that answer.
async fn work<T: Send + 'static>(
    shared: Shared,
    task: impl FnOnce(&mut Coordinator) -> Result<T, CeremonyError> + Send + 'static,
) -> Result<T, Problem> {
    let run = move || {
        let mut coordinator: MutexGuard<'_, Coordinator> = shared.lock().unwrap_or_else(PoisonError::into_inner);
        task(&mut coordinator)
    };
    let done = tokio::task::spawn_blocking(run).await;
    Ok(done.map_err(internal)??)
}

async fn status(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let status = work(shared, |coordinator| {
        let ceremony = coordinator.ceremony();
        Ok(json!({
            "circuits": ceremony.circuits().collect::<Vec<_>>(), "beacon": ceremony.beacon_plan(), "closed": ceremony.is_closed(),
            "hash": hex0x(&ceremony.hash()), "points": ceremony.points(), "contributions": value(&ceremony.attestations()),
            "waiting": coordinator.waiting(),
        }))
    });
    Ok(Json(status.await?))
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn ceremony(State(shared): State<Shared>, Part(hash): Part<String>) -> Result<Response, Problem> {
    let opened = work(shared, move |coordinator| {
        if hex0x(&coordinator.ceremony().hash()) != hash {
            return Err(CeremonyError::Refused("the ceremony has got further: ask for its status again".into()));
        }
        // A contribution replaces the file and does not change it, so this one stays whole while others are served.
        let path = coordinator.file();
        std::fs::File::open(&path).map_err(|source| CeremonyError::Io { path, source })
    });
    let file = tokio::fs::File::from_std(opened.await?);
    let length = file.metadata().await.map_err(internal)?.len();
    let body = Body::from_stream(ReaderStream::with_capacity(file, CHUNK));
    Ok(([(header::CONTENT_LENGTH, length)], body).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    name: String,
    ticket: String,
}

async fn join(State(shared): State<Shared>, Json(Join { name, ticket }): Json<Join>) -> Result<Json<Value>, Problem> {
    work(shared, move |coordinator| coordinator.join(&name, &ticket, now())).await?;
    Ok(Json(json!({})))
}

async fn place(State(shared): State<Shared>, Part(ticket): Part<String>) -> Result<Json<Value>, Problem> {
    let place = work(shared, move |coordinator| coordinator.place(&ticket, now())).await?;
    Ok(Json(json!(place)))
}

async fn receive(State(shared): State<Shared>, Part((ticket, offset)): Part<(String, u64)>, body: Bytes) -> Result<Json<Value>, Problem> {
    let received = work(shared, move |coordinator| coordinator.receive(&ticket, offset, &body, now())).await?;
    Ok(Json(json!({ "received": received })))
}

async fn hand_in(State(Served { coordinator, check }): State<Served>, Part(ticket): Part<String>) -> Result<Json<Value>, Problem> {
    // Whoever goes away waits no more.
    let one = check.lock_owned().await;
    let checked = async move {
        let _one = one;
        let handed_in = work(Arc::clone(&coordinator), move |coordinator| coordinator.begin_check(&ticket, now())).await?;
        let checked = tokio::task::spawn_blocking(move || handed_in.check(&mut OsRng)).await;
        let checked = checked.unwrap_or_else(|error| Err(CeremonyError::Refused(format!("it could not be checked: {error}"))));
        work(coordinator, move |coordinator| coordinator.end_check(checked, now())).await
    };
    // A task of its own: a check that has begun ends, whether or not somebody still waits for the answer.
    let hash = tokio::spawn(checked).await.map_err(internal)??;
    Ok(Json(json!({ "hash": hex0x(&hash) })))
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(folder: &Path, begun: Option<&Path>, listen: &str, turn: u64, output: &Output) -> Result<(), CliError> {
    let begun = begun.map(Ceremony::open).transpose()?;
    // One that does not hold would waste everybody's turn.
    begun.iter().try_for_each(|begun| begun.check(&mut OsRng))?;
    let coordinator = Coordinator::open(folder, begun.as_ref(), turn)?;
    let check = Arc::default();
    let served = Served { coordinator: Arc::new(Mutex::new(coordinator)), check: Arc::clone(&check) };
    let about = "A ceremony of zkslice. /status says who contributed; `zkslice ceremony contribute FILE --url … --name …` contributes.\n";
    let router = axum::Router::new()
        .route("/", get(move || async move { about }))
        .route("/status", get(status))
        .route("/ceremony/{hash}", get(ceremony))
        .route("/queue", post(join))
        .route("/queue/{ticket}", get(place))
        .route("/contribution/{ticket}/{offset}", put(receive))
        .route("/contribution/{ticket}", post(hand_in))
        .layer(DefaultBodyLimit::max(CHUNK))
        .with_state(served);
    runtime()?.block_on(async {
        let failed = |error: std::io::Error| CliError::failed(format!("{listen}: {error}"));
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        output.result(
            &json!({ "url": format!("http://{address}"), "folder": folder }),
            &[format!("serving {} at http://{address}", folder.display())],
        );
        let cancel = zkslice_relayer::cancel_on_signals().map_err(failed)?;
        let stopped = CancellationToken::clone(&cancel).cancelled_owned();
        // Nobody keeps it up who takes long to read.
        let in_time = async {
            cancel.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        let served = tokio::select! {
            served = axum::serve(listener, router).with_graceful_shutdown(stopped) => served.map_err(failed),
            () = in_time => Ok(()),
        };
        // A check that has begun ends.
        let _ended = check.lock().await;
        served
    })
}

/// A coordinator, as a contributor sees it: nothing that it says is trusted.
struct Remote {
    client: reqwest::Client,
    url: reqwest::Url,
    shown: String,
}

/// Why a request has no answer: what the coordinator says is final, a broken connection is not.
enum NoAnswer {
    Said(String),
    Broken(String),
}

/// What a contributor keeps beside the file until the contribution is taken.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    version: u32,
    url: String,
    name: String,
    ticket: String,
    /// Of the contribution that was made here: a name in a file says nothing, for whoever wrote the file chose it.
    hash: Option<String>,
}

impl Remote {
    fn new(url: &str) -> Result<Self, CliError> {
        let (client, url, shown) = http_client(url, TIMEOUT)?;
        Ok(Self { client, url, shown })
    }

    fn failed(&self, reason: &str) -> CliError {
        // It may be anybody's text.
        CliError::failed(format!("{}: {}", self.shown, reason.escape_debug()))
    }

    fn at(&self, path: &str) -> Result<reqwest::Url, CliError> {
        let base = self.url.as_str().trim_end_matches('/');
        format!("{base}/{path}").parse().map_err(|error| CliError::input(format!("{}: {error}", self.shown)))
    }

    /// Sends a request once. What the answer says goes to `take`, up to so many bytes.
    async fn once(
        &self,
        request: reqwest::RequestBuilder,
        most: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), NoAnswer>,
    ) -> Result<(), NoAnswer> {
        let broken = |error: reqwest::Error| NoAnswer::Broken(error.without_url().to_string());
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
        let (most, mut got, mut problem) = (if status.is_success() { most } else { CHUNK as u64 }, 0, Vec::new());
        loop {
            let chunk = tokio::time::timeout(IDLE, response.chunk()).await;
            let chunk = chunk.map_err(|_| NoAnswer::Broken(format!("it sent nothing for {} s", IDLE.as_secs())))?.map_err(broken)?;
            let Some(chunk) = chunk else { break };
            got += chunk.len() as u64;
            if got > most {
                return Err(NoAnswer::Said(format!("its answer is longer than {most} bytes")));
            }
            if status.is_success() { take(&chunk)? } else { problem.extend_from_slice(&chunk) }
        }
        if status.is_success() {
            return Ok(());
        }
        let problem: Value = serde_json::from_slice(&problem).unwrap_or_default();
        let detail = problem["detail"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        // Whatever stands before the coordinator may say other things for a while.
        let is_final = is_problem && matches!(status, StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY);
        Err(if is_final { NoAnswer::Said(detail) } else { NoAnswer::Broken(detail) })
    }

    /// Tries again while the connection breaks.
    async fn retried<T>(&self, mut attempt: impl AsyncFnMut() -> Result<T, NoAnswer>) -> Result<T, CliError> {
        let mut tries = 0;
        loop {
            match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::Said(reason)) => return Err(self.failed(&reason)),
                Err(NoAnswer::Broken(reason)) if tries >= TRIES => return Err(self.failed(&reason)),
                Err(NoAnswer::Broken(_)) => tries += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends a request, again while the connection breaks.
    async fn send(&self, make: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder) -> Result<Vec<u8>, CliError> {
        let once = async || {
            let mut bytes = Vec::new();
            let take = |chunk: &[u8]| {
                bytes.extend_from_slice(chunk);
                Ok(())
            };
            self.once(make(&self.client), CHUNK as u64, take).await.map(|()| bytes)
        };
        self.retried(once).await
    }

    async fn json(&self, make: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder) -> Result<Value, CliError> {
        let bytes = self.send(make).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.failed(&format!("not a coordinator's answer: {error}")))
    }

    fn number(&self, answer: &Value, field: &str) -> Result<u64, CliError> {
        answer[field].as_u64().ok_or_else(|| self.failed(&format!("its answer has no number `{field}`")))
    }

    async fn status(&self) -> Result<Value, CliError> {
        let url = self.at("status")?;
        self.json(|client| client.get(url.clone())).await
    }

    async fn join(&self, name: &str, ticket: &str) -> Result<(), CliError> {
        let (url, body) = (self.at("queue")?, json!({ "name": name, "ticket": ticket }).to_string());
        let join = |client: &reqwest::Client| client.post(url.clone()).header(header::CONTENT_TYPE, "application/json").body(body.clone());
        self.json(join).await.map(drop)
    }

    async fn place(&self, ticket: &str) -> Result<Value, CliError> {
        let url = self.at(&format!("queue/{ticket}"))?;
        self.json(|client| client.get(url.clone())).await
    }

    async fn wait(&self, ticket: &str, waiting: impl Fn(u64)) -> Result<(), CliError> {
        loop {
            match self.number(&self.place(ticket).await?, "before")? {
                0 => return Ok(()),
                before => waiting(before),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The ceremony as it is, written to a file as it comes. `said` is told how long that is at most.
    async fn download(&self, path: &Path, said: impl Fn(u64)) -> Result<(), CliError> {
        let status = self.status().await?;
        let points = self.number(&status, "points")?;
        if points > MOST_POINTS {
            return Err(self.failed(&format!("it speaks of {points} points, and no ceremony has more than {MOST_POINTS}")));
        }
        let hash = status["hash"].as_str().filter(|hash| super::word(hash).is_ok()).unwrap_or_default();
        let url = self.at(&format!("ceremony/{hash}"))?;
        // Each point stands in it twice; a transcript is small beside them.
        let most = 128 * points + 64 * CHUNK as u64;
        said(most);
        let failed = |error: std::io::Error| NoAnswer::Said(format!("{}: {error}", path.display()));
        let once = async || {
            let mut file = std::fs::File::create(path).map_err(failed)?;
            self.once(self.client.get(url.clone()).timeout(LONGEST), most, |chunk| file.write_all(chunk).map_err(failed)).await
        };
        self.retried(once).await
    }

    /// Hands a contribution in, from the byte on that the coordinator has not yet.
    async fn upload(&self, ticket: &str, bytes: &[u8], progress: impl Fn(usize)) -> Result<(), CliError> {
        let (mut furthest, mut tries) = (0, 0);
        loop {
            let received = self.number(&self.place(ticket).await?, "received")? as usize;
            progress(received);
            if received == bytes.len() {
                break;
            }
            (furthest, tries) = if received > furthest { (received, 0) } else { (furthest, tries + 1) };
            if tries > TRIES {
                return Err(self.failed("it takes no more bytes"));
            }
            // More than there is: what is there is not ours.
            let start = if received < bytes.len() { received } else { 0 };
            let chunk = bytes[start..bytes.len().min(start + CHUNK)].to_vec();
            let url = self.at(&format!("contribution/{ticket}/{start}"))?;
            // Whether it was taken shows in the place.
            if self.once(self.client.put(url).body(chunk), CHUNK as u64, |_| Ok(())).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let url = self.at(&format!("contribution/{ticket}"))?;
        self.json(|client| client.post(url.clone())).await.map(drop)
    }

    /// Whether a contribution is among those that were taken.
    async fn has(&self, hash: &str) -> bool {
        let list = |status: Value| status["contributions"].as_array().cloned().unwrap_or_default();
        self.status().await.is_ok_and(|status| list(status).iter().any(|contribution| contribution["hash"] == hash))
    }
}

/// Contributes through a coordinator: waits for its turn, gets the ceremony, contributes here, and hands it in. What it does is kept beside
/// `path`, so that it goes on where it was.
///
/// The coordinator could hand out a ceremony to which it has contributed under this very name, with a secret that it knows. So what it gives
/// goes to a file of its own, and a contribution is this one's if its hash is what this process, or one before it, has made and written down.
pub(crate) fn contribute_remotely(url: &str, path: &Path, name: &str, entropy: Option<&Path>, output: &Output) -> Result<String, CliError> {
    const VERSION: u32 = 1;
    let beside = |what: &str| PathBuf::from(format!("{}.{what}", path.display()));
    let (ticket_file, got) = (beside("ticket"), beside("got"));
    let _lock = locked(path)?;
    let remote = Remote::new(url)?;
    let keep = |ticket: &Ticket| {
        let bytes = zkslice_formats::to_json(ticket).map_err(|error| CliError::failed(error.to_string()))?;
        write_secret(&ticket_file, &bytes)
    };
    let mut ticket = if ticket_file.is_file() {
        let malformed = |error: serde_json::Error| CliError::input(format!("{}: no ticket: {error}", ticket_file.display()));
        let kept: Ticket = serde_json::from_slice(&read(&ticket_file)?).map_err(malformed)?;
        if (kept.version, kept.url.as_str(), kept.name.as_str()) != (VERSION, url, name) {
            let of = format!("it is {:?}'s at {}", kept.name, kept.url);
            return Err(CliError::input(format!("{}: {of}: go on with that, or remove the ticket", ticket_file.display())));
        }
        kept
    } else {
        check_output(path)?;
        let mut bytes = [0; 32];
        OsRng.fill_bytes(&mut bytes);
        let ticket = Ticket { version: VERSION, url: url.into(), name: name.into(), ticket: hex::encode(bytes), hash: None };
        keep(&ticket)?;
        ticket
    };
    let runtime = runtime()?;
    let bar = output.spinner("waiting for your turn");
    let waited = runtime.block_on(async {
        if ticket.hash.is_none() {
            remote.join(name, &ticket.ticket).await?;
        }
        remote.wait(&ticket.ticket, |before| bar.set_message(format!("waiting for your turn: {before} before you"))).await
    });
    bar.finish_and_clear();
    let result = waited.and_then(|()| {
        if ticket.hash.is_none() {
            let bar = output.spinner("getting the ceremony");
            let said = |most: u64| bar.set_message(format!("getting the ceremony, {} MB at most", most >> 20));
            let downloaded = runtime.block_on(remote.download(&got, said));
            bar.finish_and_clear();
            downloaded?;
            let ceremony = Ceremony::open(&got)?;
            if ceremony.attestations().iter().any(|earlier| earlier.name == name) {
                return Err(remote.failed("the ceremony that it gives has a contribution under your name, which is not yours"));
            }
            output.line(&format!("{}; beacon: {}", ceremony.circuits().collect::<Vec<_>>().join("; "), ceremony.beacon_plan().source));
            ticket.hash = Some(contribute_to(&got, path, name, entropy, output)?);
            keep(&ticket)?;
            let _ = std::fs::remove_file(&got);
        }
        let bytes = read(path)?;
        if Some(hex0x(&Ceremony::open(path)?.hash())) != ticket.hash {
            return Err(CliError::input(format!("{}: it is not the contribution that was made here", path.display())));
        }
        let bar = output.bar(bytes.len(), "handing in");
        let result = runtime.block_on(remote.upload(&ticket.ticket, &bytes, |received| bar.set_position(received as u64)));
        bar.finish_and_clear();
        result
    });
    let Some(hash) = ticket.hash else {
        // Nothing was made yet: the next try begins anew.
        let _ = std::fs::remove_file(&ticket_file);
        let _ = std::fs::remove_file(&got);
        return Err(result.err().unwrap_or_else(|| remote.failed("it gave no turn")));
    };
    // The answer to what was taken may have been lost.
    if runtime.block_on(remote.has(&hash)) {
        let _ = std::fs::remove_file(&ticket_file);
        return Ok(hash);
    }
    let reason =
        result.err().map_or_else(|| "it says that it took the contribution, and does not show it".to_owned(), |error| error.to_string());
    let (kept, ticket) = (path.display(), ticket_file.display());
    Err(CliError::failed(format!("{reason}; your contribution {hash} is kept in {kept}: run this again, or remove {ticket} to begin anew")))
}
