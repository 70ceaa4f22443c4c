//! The connections to the store, and the batches that go over them: one connection, and further ones while it falls behind.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::WriterConfig;
use super::pending::Pending;
use crate::sink::store::{Store, WriteError};
use crate::sink::{StoreError, StoreUrl};

/// Between two attempts at a further connection: the store takes records without it.
const PAUSE: Duration = Duration::from_secs(60);

type Work<T> = Pin<Box<dyn Future<Output = T>>>;

/// Those that are connected, and what they do.
pub(super) struct Lanes {
    url: StoreUrl,
    connect_timeout: Duration,
    write_timeout: Duration,
    idle: Vec<Store>,
    writes: Vec<Write>,
    /// A further connection that does not stand yet. It has no batch: none waits for a server that lets nobody in.
    opening: Option<Work<Result<Store, StoreError>>>,
    /// Why there is no further connection, and when it is tried again.
    trouble: Option<(String, Instant)>,
}

/// A batch under way, and the connection with it.
struct Write {
    pending: Pending,
    work: Work<(Store, Result<(), WriteError>)>,
}

impl Lanes {
    pub(super) fn new(config: &WriterConfig) -> Self {
        Self {
            url: config.url.clone(),
            connect_timeout: config.connect_timeout,
            write_timeout: config.write_timeout,
            idle: Vec::new(),
            writes: Vec::new(),
            opening: None,
            trouble: None,
        }
    }

    pub(super) fn add(&mut self, store: Store) {
        self.idle.push(store);
    }

    /// No connection stands or is being made.
    pub(super) fn are_gone(&self) -> bool {
        self.idle.is_empty() && !self.are_busy()
    }

    /// There is something that [`Lanes::progress`] waits for.
    pub(super) fn are_busy(&self) -> bool {
        self.is_writing() || self.opening.is_some()
    }

    pub(super) fn is_writing(&self) -> bool {
        !self.writes.is_empty()
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Begins to write over a connection that is idle; gives the batch back where none is.
    pub(super) fn write(&mut self, pending: Pending) -> Result<(), Pending> {
        let Some(mut store) = self.idle.pop() else { return Err(pending) };
        let (unit, limit) = (Arc::clone(&pending.unit), self.write_timeout);
        let slow = StoreError::Slow { at: self.url.to_string(), seconds: limit.as_secs() };
        let work = async move {
            let written = tokio::time::timeout(limit, store.write(&unit)).await;
            (store, written.unwrap_or(Err(WriteError::Retry(slow))))
        };
        self.writes.push(Write { pending, work: Box::pin(work) });
        Ok(())
    }

    /// Begins to open a further connection where the store takes one more and the last attempt is not too near.
    pub(super) fn open_further(&mut self) {
        let pauses = self.trouble.as_ref().is_some_and(|(_, again)| Instant::now() < *again);
        if pauses || self.opening.is_some() || self.idle.len() + self.writes.len() >= Store::lanes(&self.url) {
            return;
        }
        let (url, limit) = (self.url.clone(), self.connect_timeout);
        let late = StoreError::TimedOut { at: url.to_string(), seconds: limit.as_secs() };
        self.opening =
            Some(Box::pin(
                async move { tokio::time::timeout(limit, Store::open(&url, limit)).await.unwrap_or(Err(late)) },
            ));
    }

    /// Waits until a batch is written or is not going to be, which ends the connection with it; `None` where instead a further
    /// connection stands, or could not be had. Nothing is lost where this is dropped.
    pub(super) async fn progress(&mut self) -> Option<(Pending, Result<(), WriteError>)> {
        poll_fn(|context| {
            if let Some(opening) = &mut self.opening
                && let Poll::Ready(opened) = opening.as_mut().poll(context)
            {
                self.opening = None;
                self.opened(opened);
                return Poll::Ready(None);
            }
            for (at, write) in self.writes.iter_mut().enumerate() {
                if let Poll::Ready((store, written)) = write.work.as_mut().poll(context) {
                    let Write { pending, .. } = self.writes.remove(at);
                    // After an error the connection's state is unsure: a new one is cheap.
                    if written.is_ok() {
                        self.idle.push(store);
                    }
                    return Poll::Ready(Some((pending, written)));
                }
            }
            Poll::Pending
        })
        .await
    }

    fn opened(&mut self, opened: Result<Store, StoreError>) {
        match opened {
            Ok(store) => {
                log::debug!("records come faster than {} takes them over one connection: a further one is used", self.url);
                self.trouble = None;
                self.idle.push(store);
            }
            Err(error) => self.do_without(format!(
                "{error}. Records come faster than they are taken over one connection, and a further one would help; all go over \
                 the one, and another is tried every minute"
            )),
        }
    }

    /// One of several connections broke.
    pub(super) fn broke(&mut self, error: &StoreError) {
        self.do_without(format!(
            "{error}. That was one of several connections: its batch is written again over what is left, and another is tried in \
             a minute"
        ));
    }

    /// Says once why there is no further connection, and again when the reason changes.
    fn do_without(&mut self, why: String) {
        if self.trouble.as_ref().is_none_or(|(told, _)| *told != why) {
            log::warn!("{why}");
        }
        self.trouble = Some((why, Instant::now() + PAUSE));
    }

    /// The store is away: what else is connected is no better, and afterwards all begins anew.
    pub(super) fn drop_all(&mut self) {
        self.idle.clear();
        self.opening = None;
        self.trouble = None;
    }

    /// Breaks off what is under way and says goodbye where nothing is.
    pub(super) async fn close(self) {
        drop((self.opening, self.writes));
        for store in self.idle {
            store.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_further_connection_that_is_refused_is_tried_again_after_a_pause() {
        // Nobody listens on port 1.
        let config = WriterConfig::new("postgres://moth@127.0.0.1:1/flows".parse().unwrap(), "edge");
        runtime().block_on(async {
            let mut lanes = Lanes::new(&config);
            lanes.open_further();
            assert!(lanes.are_busy() && !lanes.is_writing());
            assert!(lanes.progress().await.is_none());
            assert!(lanes.are_gone());
            let (why, again) = lanes.trouble.clone().unwrap();
            assert!(why.contains("nothing answers") && again > Instant::now(), "{why}");
            lanes.open_further();
            assert!(!lanes.are_busy(), "the minute is not over");
            lanes.trouble = Some((why, Instant::now()));
            lanes.open_further();
            assert!(lanes.are_busy());
            lanes.drop_all();
            assert!(lanes.are_gone() && lanes.trouble.is_none());
        });
    }

    #[test]
    fn sqlite_has_one_connection() {
        let folder = tempfile::tempdir().unwrap();
        let url: StoreUrl = format!("sqlite:{}", folder.path().join("flows.db").display()).parse().unwrap();
        runtime().block_on(async {
            let mut lanes = Lanes::new(&WriterConfig::new(url.clone(), "edge"));
            lanes.add(Store::open(&url, Duration::from_secs(60)).await.unwrap());
            lanes.open_further();
            assert!(lanes.has_idle() && !lanes.are_busy());
            lanes.close().await;
        });
    }
}
