//! The socket and the thread behind the page.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use log::{debug, info, warn};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Snapshot;
use super::snapshot::{Board, text};
use crate::cause::Cause;

/// What the text is, for Prometheus.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bytes of a request's head at most.
const REQUEST: usize = 16 * 1024;

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Requests at a time; further ones wait in the kernel's queue.
    pub(super) requests: usize,
    /// From the first byte of a request to the last one of its answer.
    pub(super) time: Duration,
}

/// A scrape takes milliseconds; Prometheus asks once in seconds.
const LIMITS: Limits = Limits { requests: 8, time: Duration::from_secs(5) };

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Somebody has the port.
    #[error(
        "metrics: {0} is in use by another program (`ss -ltnp sport = :{port}` names it); stop it, or name another port",
        port = .0.port()
    )]
    InUse(SocketAddr),
    /// The address is none of this host's.
    #[error(
        "metrics: this host has no address {ip}; name one that `ip -br address` lists, or 127.0.0.1",
        ip = .0.ip()
    )]
    NoAddress(SocketAddr),
    /// A port for which a right is needed.
    #[error("metrics: this process may not listen on {0}; name a port from 1024 on")]
    Forbidden(SocketAddr),
    /// Anything else that the system says.
    #[error("metrics: can't listen on {address}: {cause}; name another address, or remove the key to go without")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        cause: Cause,
    },
    /// No thread or runtime for it.
    #[error("metrics: the system gave no thread: {0}; raise TasksMax= or the limits on processes and files")]
    Thread(Cause),
}

impl EndpointError {
    fn listen(address: SocketAddr, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::AddrNotAvailable => Self::NoAddress(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address),
            _ => Self::Listen { address, cause: cause.into() },
        }
    }
}

/// The address, taken. Nobody is answered before [`Endpoint::serve`].
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl Endpoint {
    /// Takes the address.
    ///
    /// # Errors
    /// Why it can't be had, with the remedy.
    pub fn bind(address: SocketAddr) -> Result<Self, EndpointError> {
        Self::bind_with(address, LIMITS)
    }

    pub(super) fn bind_with(address: SocketAddr, limits: Limits) -> Result<Self, EndpointError> {
        let failed = |cause| EndpointError::listen(address, cause);
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, limits })
    }

    /// Where it listens; the port is the system's where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an address means that others than this host can reach; `None` for the loopback's.
    pub fn exposure(&self) -> Option<String> {
        (!self.address.ip().is_loopback()).then(|| {
            format!(
                "metrics on {} can be read by everybody who reaches that address: there is no authentication",
                self.address
            )
        })
    }

    /// Starts to answer, with `snapshot` as long as there is no newer one.
    ///
    /// # Errors
    /// Where the system gives no thread or runtime.
    pub fn serve(self, snapshot: Snapshot) -> Result<Page, EndpointError> {
        let failed = |cause: io::Error| EndpointError::Thread(cause.into());
        if let Some(exposure) = self.exposure() {
            warn!("{exposure}; 127.0.0.1 and a proxy that asks for a password are safer");
        }
        let board = Board::new(snapshot);
        let (router, limits) = (router(&board), self.limits);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener).map_err(failed)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let body = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = answer(listener, router, limits) => {}
                    // Told to, or the page is gone without a word: either way it is over.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("netmoth-metrics".into()).spawn(body).map_err(failed)?;
        info!("metrics are at http://{}/metrics", self.address);
        Ok(Page { board, stop: Some(stop), thread: Some(thread) })
    }
}

/// The page as it is served. Its thread ends when this is dropped, whoever is being answered.
#[derive(Debug)]
pub struct Page {
    board: Board,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Shows newer values from now on. Never waits for a client.
    pub fn update(&self, snapshot: Snapshot) {
        self.board.put(snapshot);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            warn!("the thread of the metrics ended by a panic; capture and records are not concerned");
        }
    }
}

fn router(board: &Board) -> Router {
    let registry = Arc::new(board.registry());
    let page = || async move {
        match text(&registry) {
            Ok(text) => (StatusCode::OK, [(CONTENT_TYPE, OPENMETRICS)], text),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], String::new()),
        }
    };
    let nothing = || async { (StatusCode::NOT_FOUND, "There is GET /metrics, and nothing else.\n") };
    Router::new().route("/metrics", get(page).fallback(nothing)).fallback(nothing)
}

/// Answers until it is dropped.
async fn answer(listener: tokio::net::TcpListener, router: Router, limits: Limits) {
    let free = Arc::new(Semaphore::new(limits.requests));
    // Nobody closes the semaphore.
    while let Ok(slot) = Arc::clone(&free).acquire_owned().await {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(request(client, router.clone(), limits.time, slot))),
            Err(error) => {
                // Out of descriptors, or a client that was gone at once.
                debug!("no request could be taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One request and its answer. The next one comes on a connection of its own: so the time is that of a request, and nobody
/// holds a place while he says nothing.
async fn request(client: TcpStream, router: Router, time: Duration, slot: OwnedSemaphorePermit) {
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(REQUEST);
    let answered = http.serve_connection(TokioIo::new(client), TowerToHyperService::new(router));
    match tokio::time::timeout(time, answered).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("a request for metrics failed: {error}"),
        Err(_) => debug!("a request for metrics took longer than {time:?} and was dropped"),
    }
    drop(slot);
}
