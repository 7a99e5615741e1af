//! Connections over HTTP: how many there are, and how long one may take to say what it wants.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::transport::quic::counted;

/// How soon the system is asked again, when it has given no connection.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes of a request's head.
const MOST_HEAD: usize = 32 << 10;

/// How many connections are taken, and how long one may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// In all: three quarters of what the system gives a process, 4,096 at most.
    pub in_all: usize,
    /// Of one address, or one /64 of IPv6.
    pub of_an_address: usize,
    /// How long the head of a request may take, how long nothing may come between two, and how long an answer may wait to be read.
    pub patience: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        // What is opened beside them, such as the store, is not to fail.
        let in_all = open_files().map_or(512, |files| files / 4 * 3).min(4_096);
        Self { in_all, of_an_address: 256, patience: Duration::from_secs(15) }
    }
}

/// Files and connections that this process may have open, where the system says it.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection's place, until it is dropped.
struct Place {
    of: Counts,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(all: &Arc<Semaphore>, of: &Counts, address: IpAddr, most: usize) -> Option<Self> {
        let permit = Arc::clone(all).try_acquire_owned().ok()?;
        let mut counts = of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self { of: Arc::clone(of), address, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Serves HTTP until it is stopped; what was asked by then is answered. Connections beyond what is taken are closed at once.
pub async fn listen(listener: TcpListener, router: Router, most: Connections, stop: CancellationToken) {
    let (all, of) = (Arc::new(Semaphore::new(most.in_all)), Counts::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let ip = address.ip().to_canonical();
                let Some(place) = Place::take(&all, &of, counted(ip), most.of_an_address) else {
                    tracing::debug!(%ip, "there are as many connections as are taken");
                    continue;
                };
                let (router, stop) = (router.clone(), stop.clone());
                tokio::spawn(async move {
                    serve(stream, address, router, most.patience, stop).await;
                    drop(place);
                });
            }
            // Of one that has gone, or since no more files can be opened: those that end make room.
            Err(error) => {
                tracing::debug!(%error, "a connection is not taken");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, router: Router, patience: Duration, stop: CancellationToken) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        router.clone().call(request.map(Body::new))
    });
    let stream = Read { stream, patience, stalled: None };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(MOST_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(ip = %address.ip(), %error, "a connection has broken");
    }
}

/// A connection that breaks when the other end reads nothing of what waits for it.
struct Read {
    stream: TcpStream,
    patience: Duration,
    /// Until when what waits may wait.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Read {
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Read {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Read {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
