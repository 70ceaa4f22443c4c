//! Which packets of a file are wanted: an expression, compiled for each link layer that comes up.

use super::CapturedPacket;
use super::linktype::Written;
use crate::filter::{Filter, FilterError};

pub(super) struct Chooser {
    expression: String,
    filters: Vec<(Written, Filter)>,
    not_matched: u64,
    failure: Option<FilterError>,
}

impl Chooser {
    pub(super) fn new(expression: &str) -> Self {
        Self { expression: expression.into(), filters: Vec::new(), not_matched: 0, failure: None }
    }

    /// Whether a packet matches. What is of no link layer that is parsed can't be asked: it is handed on, to be counted there.
    #[inline]
    pub(super) fn takes(&mut self, packet: &CapturedPacket<'_>, written: Written) -> bool {
        if packet.link.is_none() {
            return true;
        }
        let known = self.filters.iter().position(|(of, _)| *of == written);
        // Where there is no filter, the file is read no further.
        let takes = known
            .or_else(|| self.compile(written))
            .is_some_and(|at| self.filters[at].1.matches(packet.data, packet.wire_len));
        self.not_matched += u64::from(!takes);
        takes
    }

    #[cold]
    fn compile(&mut self, written: Written) -> Option<usize> {
        if self.failure.is_some() {
            return None;
        }
        match Filter::for_file(&self.expression, written.number, written.big_endian) {
            Ok(filter) => {
                self.filters.push((written, filter));
                Some(self.filters.len() - 1)
            }
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }

    /// Why there is no filter for a link layer; once.
    pub(super) fn failure(&mut self) -> Option<FilterError> {
        self.failure.take()
    }

    pub(super) fn not_matched(&self) -> u64 {
        self.not_matched
    }
}
