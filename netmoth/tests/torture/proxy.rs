//! Stands between the sensor and PostgreSQL, understands where in a transaction they are, and cuts them apart there.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Where to cut; 0 is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    BeforeCopy = 1,
    InCopy,
    AfterCopy,
    /// The server has committed, and its answer does not arrive.
    AfterCommit,
}

impl Stage {
    pub(crate) const CUTS: [Self; 4] = [Self::BeforeCopy, Self::InCopy, Self::AfterCopy, Self::AfterCommit];
}

/// What is asked of the proxy, and what it has done.
#[derive(Default)]
struct Orders {
    stage: AtomicU8,
    /// 1: let the server end the connection itself.
    terminate: AtomicU8,
    done: AtomicU64,
}

impl Orders {
    /// Takes the order to cut at `stage`, if it stands.
    fn take(&self, stage: Stage) -> bool {
        self.stage.compare_exchange(stage as u8, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// The proxy with its thread, which ends with the process.
pub(crate) struct Proxy {
    orders: Arc<Orders>,
}

/// Ends all connections of the sensor as an administrator would.
pub(crate) type Terminate = Arc<dyn Fn() + Send + Sync>;

impl Proxy {
    /// Listens in `folder` as a server with `port` would, and connects to the one in `server`.
    pub(crate) fn start(folder: &Path, server: &Path, port: u16, terminate: Terminate) -> Self {
        let name = format!(".s.PGSQL.{port}");
        let listener = UnixListener::bind(folder.join(&name)).unwrap();
        let (server, orders): (PathBuf, _) = (server.join(&name), Arc::new(Orders::default()));
        let told = Arc::clone(&orders);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is down: the client sees its connection close.
                let Ok(backend) = UnixStream::connect(&server) else { continue };
                Session { client, backend, orders: Arc::clone(&told), terminate: Arc::clone(&terminate) }.start();
            }
        });
        Self { orders }
    }

    /// Cuts once, the next time that a transaction comes to `stage`.
    pub(crate) fn cut(&self, stage: Stage, terminate: bool) {
        self.orders.terminate.store(u8::from(terminate), Ordering::SeqCst);
        self.orders.stage.store(stage as u8, Ordering::SeqCst);
    }

    /// Takes an order back that no transaction has met.
    pub(crate) fn relent(&self) {
        self.orders.stage.store(0, Ordering::SeqCst);
    }

    /// Cuts so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.orders.done.load(Ordering::SeqCst)
    }
}

/// One connection.
struct Session {
    client: UnixStream,
    backend: UnixStream,
    orders: Arc<Orders>,
    terminate: Terminate,
}

impl Session {
    fn start(self) {
        let (mut from, mut to) = (self.backend.try_clone().unwrap(), self.client.try_clone().unwrap());
        let orders = Arc::clone(&self.orders);
        // From the server: whole messages, so that the answer to COMMIT can be held back.
        std::thread::spawn(move || {
            let _ = back(&mut from, &mut to, &orders);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
        std::thread::spawn(move || {
            let _ = self.forth();
            let _ = self.client.shutdown(Shutdown::Both);
            let _ = self.backend.shutdown(Shutdown::Both);
        });
    }

    /// From the sensor to the server, message by message.
    fn forth(&self) -> io::Result<()> {
        let (mut from, mut to) = (&self.client, &self.backend);
        // The first message has no type.
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        to.write_all(&length)?;
        copy(&mut from, &mut to, u32::from_be_bytes(length) as usize - 4)?;
        loop {
            let message = message(&mut from)?;
            let is_query = |text: &[u8]| message[0] == b'Q' && message[5..].starts_with(text);
            if is_query(b"COPY") && self.orders.take(Stage::BeforeCopy) {
                return self.part(&[]);
            }
            if message[0] == b'd' && self.orders.take(Stage::InCopy) {
                return self.part(&message[..message.len() / 2]);
            }
            if message[0] == b'c' && self.orders.take(Stage::AfterCopy) {
                return self.part(&message);
            }
            to.write_all(&message)?;
        }
    }

    /// Sends what still arrives, then ends the connection, or has the server do it.
    fn part(&self, last: &[u8]) -> io::Result<()> {
        (&self.backend).write_all(last)?;
        if self.orders.terminate.load(Ordering::SeqCst) == 1 {
            (self.terminate)();
        }
        self.orders.done.fetch_add(1, Ordering::SeqCst);
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// From the server to the sensor.
fn back(from: &mut UnixStream, to: &mut UnixStream, orders: &Orders) -> io::Result<()> {
    loop {
        let message = message(from)?;
        // CommandComplete.
        if message[0] == b'C' && message[5..].starts_with(b"COMMIT") && orders.take(Stage::AfterCommit) {
            orders.done.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        to.write_all(&message)?;
    }
}

/// One message: type, length, contents.
fn message(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message)?;
    let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
    message.resize(1 + length, 0);
    from.read_exact(&mut message[5..])?;
    Ok(message)
}

fn copy(from: &mut impl Read, to: &mut impl Write, count: usize) -> io::Result<()> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes)?;
    to.write_all(&bytes)
}
