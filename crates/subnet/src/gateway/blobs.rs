//! Packages with their keys, for miners: the list of a model's files, and each file by its hash.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRef, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

use super::{At, Gateway, Problem, text, word};
use crate::blobs::{Held, Listing, Sha, Shelf, pump};

/// Pieces of a file that wait for a reader.
const WAITING: usize = 2;

impl FromRef<Gateway> for Arc<Shelf> {
    fn from_ref(gateway: &Gateway) -> Self {
        Self::clone(&gateway.shelf)
    }
}

/// The files of a model's package, with the hash of each and of its chunks.
#[utoipa::path(get, path = "/v1/models/{digest}/files", tag = "network", params(("digest" = String, Path)),
    responses((status = 200, body = Listing), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub(super) async fn files(State(shelf): State<Arc<Shelf>>, At(digest): At<String>) -> Result<Response, Problem> {
    let digest = word(&digest)?;
    match shelf.list(&digest) {
        Ok(Some(json)) => Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response()),
        Ok(None) => Err(Problem::new(StatusCode::NOT_FOUND, format!("no model {digest} is served here"))),
        Err(()) => Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, "the model's files are being hashed", 2)),
    }
}

/// A file of a package by its SHA-256, or a range of it. What a miner is fetching itself, it gives as far as it has it.
#[utoipa::path(get, path = "/v1/blobs/{sha256}", tag = "network", params(("sha256" = String, Path), ("Range" = Option<String>, Header)),
    responses((status = 200, description = "The file", content_type = "application/octet-stream"),
        (status = 206, description = "The range", content_type = "application/octet-stream"),
        (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub(super) async fn blob(
    State(shelf): State<Arc<Shelf>>,
    address: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    At(sha256): At<String>,
) -> Result<Response, Problem> {
    let wrong = |()| Problem::new(StatusCode::BAD_REQUEST, "a file's name is its SHA-256: 64 hexadecimal digits in lower case");
    let sha256: Sha = sha256.parse().map_err(wrong)?;
    let gone = || Problem::new(StatusCode::NOT_FOUND, format!("no file {sha256} is served here"));
    let held = shelf.held(&sha256).ok_or_else(gone)?;
    let tag = format!("\"{sha256}\"");
    // Whoever has a part of another file gets all of this one.
    let is_same = text(&headers, "if-range")?.is_none_or(|known| known == tag);
    let asked = text(&headers, "range")?.filter(|_| is_same).and_then(|asked| range(asked, held.bytes));
    let (status, range) = match asked {
        None => (StatusCode::OK, 0..held.bytes),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(None) => {
            let reason = format!("the file has {} bytes", held.bytes);
            let mut refused = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, reason).into_response();
            refused.headers_mut().insert(header::CONTENT_RANGE, value(format!("bytes */{}", held.bytes))?);
            return Ok(refused);
        }
    };
    if !held.has(&range) {
        return Err(gone());
    }
    let ip = address.map(|axum::Extension(ConnectInfo(address))| address.ip().to_canonical());
    let place = shelf.admit(ip).ok_or_else(|| Problem::later(StatusCode::SERVICE_UNAVAILABLE, "too much is being downloaded", 1))?;
    let bytes = held.bytes;
    let file = open(held, range.start).await.ok_or_else(gone)?;
    let (to, from) = mpsc::channel(WAITING);
    let length = range.end - range.start;
    tokio::spawn(pump(file, length, to, place));
    let body = futures_util::stream::unfold(from, |mut from| async move { from.recv().await.map(|piece| (piece, from)) });
    let mut answer = Response::new(Body::from_stream(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A name is for ever one file's.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::ETAG, value(tag)?);
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(header::CONTENT_RANGE, value(format!("bytes {}-{}/{}", range.start, range.end - 1, bytes))?);
    }
    Ok(answer)
}

fn value(text: String) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))
}

/// Opens a file at a place in it.
async fn open(held: Held, at: u64) -> Option<std::fs::File> {
    let opened = move || {
        let mut file = held.open()?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(at)).ok()?;
        Some(file)
    };
    tokio::task::spawn_blocking(opened).await.ok().flatten()
}

/// Which bytes are asked for, by RFC 9110, 14: none where the header is not understood, so that it is as if it were not there; `Some(None)`
/// where the file has none of them. Several ranges at once are not understood.
fn range(text: &str, bytes: u64) -> Option<Option<Range<u64>>> {
    let (unit, asked) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = asked.trim().split_once('-')?;
    // Numbers beyond any file are numbers too.
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().unwrap_or(u64::MAX));
    match (first, last) {
        ("", "") => None,
        ("", last) => {
            let last = number(last)?.min(bytes);
            Some((last > 0).then(|| bytes - last..bytes))
        }
        (first, last) => {
            let first = number(first)?;
            let end = if last.is_empty() { bytes } else { number(last)?.saturating_add(1) };
            if first >= end && !last.is_empty() {
                return None;
            }
            Some((first < bytes).then(|| first..end.min(bytes)))
        }
    }
}

/// What a miner serves to others: the files that it has, and what it is fetching.
pub fn serve_blobs(shelf: Arc<Shelf>) -> axum::Router {
    axum::Router::new()
        .route("/v1/models/{digest}/files", axum::routing::get(files))
        .route("/v1/blobs/{sha256}", axum::routing::get(blob))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "there is nothing here but /v1/blobs/{sha256} and /v1/models/{digest}/files")
        })
        .with_state(shelf)
}
