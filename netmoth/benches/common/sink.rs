//! Somebody who takes exported flows: a UDP socket that counts its datagrams.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::netns;

/// A collector of exported flows that looks at none of them.
pub(crate) struct Sink {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Sink {
    /// Listens on the loopback of a namespace, or of this one.
    pub(crate) fn start(namespace: Option<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (say, hear) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            if let Some(file) = namespace {
                netns::enter(&file);
            }
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port for exported flows");
            say.send(socket.local_addr().unwrap().port()).unwrap();
            count(&socket, &told)
        });
        Self { port: hear.recv().expect("the sink listens"), stop, thread }
    }

    /// Takes what is left, and says how many datagrams came.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn count(socket: &UdpSocket, told: &AtomicBool) -> u64 {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (mut datagrams, mut room) = (0, [0; 2048]);
    loop {
        if socket.recv(&mut room).is_ok() {
            datagrams += 1;
        } else if told.load(Ordering::Relaxed) {
            return datagrams;
        }
    }
}
