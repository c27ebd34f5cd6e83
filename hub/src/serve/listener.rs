//! Accepts connections: a bound on their number, on the time of headers, on silent readers.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tower::Service as _;

use crate::app::{ClientAddress, Shutdown};
use crate::config::HttpConfig;

/// Bytes of a request's headers; browsers send 2 KiB, long upload metadata 16 KiB.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// A reader that takes nothing for so long has gone; a panel that sleeps asks again.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
/// Longest wait for open requests when the hub stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// After an error of `accept`, which means that the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the hub stops, then lets open requests end.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    mut shutdown: Shutdown,
) {
    let places_max = config.connections_max.clamp(1, 100_000);
    let places = Arc::new(Semaphore::new(places_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(config.header_timeout_s))
        .max_buf_size(HEADER_BYTES_MAX);
    let clients = Clients { counts: Arc::default(), each_max: (places_max / 2).max(1) };
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let Ok((stream, address)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(seat) = clients.admit(address.ip()) else { continue };
        // A client that has gone already needs no speed.
        drop(stream.set_nodelay(true));
        let (http, router, shutdown) = (http.clone(), router.clone(), shutdown.clone());
        tokio::spawn(async move {
            serve(&http, stream, ClientAddress(address.ip()), router, shutdown).await;
            drop(seat);
            drop(place);
        });
    }
    drop(listener);
    let all = u32::try_from(places_max).expect("clamped above");
    drop(tokio::time::timeout(DRAIN_MAX, places.acquire_many(all)).await);
}

/// Connections by address. One address has at most half of the places, so that no single
/// computer keeps the others out; a class behind one router needs fewer.
#[derive(Clone)]
struct Clients {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    each_max: usize,
}

/// One connection of an address, as long as it lives.
struct Seat {
    clients: Clients,
    address: IpAddr,
}

impl Clients {
    fn admit(&self, address: IpAddr) -> Option<Seat> {
        let mut counts = self.counts.lock().expect("never held over a panic");
        let count = counts.entry(address).or_default();
        if *count >= self.each_max {
            tracing::debug!(%address, "a computer has too many connections; one was closed");
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Seat { clients: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.clients.counts.lock().expect("never held over a panic");
        let count = counts.get_mut(&self.address).expect("a seat is counted");
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.address);
        }
    }
}

async fn serve(
    http: &http1::Builder,
    stream: TcpStream,
    client: ClientAddress,
    router: Router,
    mut shutdown: Shutdown,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client);
        router.clone().call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(Timed::new(stream)), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended early");
    }
}

/// A stream whose writes fail when the other side takes nothing for [`WRITE_STALL_MAX`].
struct Timed {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    fn new(stream: TcpStream) -> Self {
        Self { stream, stalled: None }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let fresh = || Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_STALL_MAX));
        let stalled = self.stalled.get_or_insert_with(fresh);
        std::task::ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
