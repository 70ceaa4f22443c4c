//! Who polls what: the assignment of queues and sockets to workers.

/// One AF_XDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedSocket {
    /// Its index in the XSKMAP.
    pub index: u32,
    /// The receive queue that it is bound to.
    pub queue: u32,
    /// The worker that polls it.
    pub worker: usize,
    /// Whether its worker owns the queue's fill ring (the first socket of each queue).
    pub owner: bool,
}

/// Assigns sockets to `workers` workers over `queues` (receive queue numbers).
///
/// Where there are at least as many queues as workers, each queue has one socket and worker `w` polls queues `w`,
/// `w + workers`, …; where there are fewer, workers are spread over queues so that the numbers differ by at most one.
/// Sockets of one queue have consecutive indices, and every worker has at least one socket.
pub fn plan(workers: usize, queues: &[u32]) -> Vec<PlannedSocket> {
    if workers == 0 || queues.is_empty() {
        return Vec::new();
    }
    let mut sockets = Vec::new();
    for (place, &queue) in queues.iter().enumerate() {
        // Workers place, place + queues, place + 2 × queues, … share this queue; one at least polls it.
        let sharing: Vec<usize> = (place..workers).step_by(queues.len()).collect();
        let polling = if sharing.is_empty() { vec![place % workers] } else { sharing };
        for (nth, worker) in polling.into_iter().enumerate() {
            sockets.push(PlannedSocket { index: sockets.len() as u32, queue, worker, owner: nth == 0 });
        }
    }
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(workers: usize, count: u32) {
        let queues: Vec<u32> = (0..count).map(|q| q * 2 + 1).collect();
        let sockets = plan(workers, &queues);
        assert_eq!(sockets.len(), workers.max(queues.len()), "{workers} workers, {count} queues");
        for (index, socket) in sockets.iter().enumerate() {
            assert_eq!(socket.index as usize, index);
            assert!(socket.worker < workers);
        }
        for queue in &queues {
            let here: Vec<_> = sockets.iter().filter(|s| s.queue == *queue).collect();
            assert_eq!(here.iter().filter(|s| s.owner).count(), 1, "one producer of the fill ring");
            assert!(here[0].owner);
            assert!(here.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "consecutive for the hash");
        }
        let loads: Vec<usize> = (0..workers).map(|w| sockets.iter().filter(|s| s.worker == w).count()).collect();
        assert!(loads.iter().all(|n| *n > 0) && loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        let shares: Vec<usize> = queues.iter().map(|q| sockets.iter().filter(|s| s.queue == *q).count()).collect();
        assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
    }

    #[test]
    fn every_queue_is_polled_and_no_worker_is_idle_whatever_the_numbers() {
        for workers in 1..=16 {
            for queues in 1..=16 {
                check(workers, queues);
            }
        }
    }

    #[test]
    fn nothing_is_planned_for_no_workers_or_no_queues() {
        assert!(plan(0, &[0]).is_empty());
        assert!(plan(1, &[]).is_empty());
    }
}
