//! The task that listens to a session's hub, and never waits for the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{mpsc, oneshot};

use super::running::{Reason, Running};
use crate::hub::{Heard, Watch};
use crate::media::{Codec, Packet};
use crate::pool::Size;

/// Packets that wait for the disk: ten seconds, in which one that slept has woken.
pub(super) const WAITING: usize = 750;

/// A packet on its way to the file. A key picture comes with its size.
pub(super) struct Queued {
    pub(super) packet: Packet,
    pub(super) size: Option<Size>,
}

/// The task that listens.
pub(super) struct Listening {
    pub(super) watch: Watch,
    /// Size of the pictures now.
    pub(super) size: Box<dyn Fn() -> Size + Send>,
    pub(super) queue: mpsc::Sender<Queued>,
    pub(super) running: Arc<Running>,
}

impl Listening {
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        // Pictures after a gap would be broken until the next key frame.
        let mut broken = false;
        loop {
            let heard = tokio::select! {
                biased;
                _ = &mut stopped => return self.running.over(Reason::Stopped),
                () = self.queue.closed() => return,
                heard = self.watch.next() => heard,
            };
            let packet = match heard {
                Heard::Packet(packet) => packet,
                Heard::Behind => {
                    broken = true;
                    continue;
                }
                Heard::Ended => return self.running.over(Reason::SessionEnded),
            };
            let picture = packet.codec == Codec::H264;
            broken &= !(picture && packet.key);
            if picture && broken {
                continue;
            }
            let key = picture && packet.key;
            let size = key.then(|| (self.size)());
            let bytes = packet.data.len() as u64;
            self.running.waiting.fetch_add(bytes, Relaxed);
            if let Err(back) = self.queue.try_send(Queued { packet, size }) {
                self.running.waiting.fetch_sub(bytes, Relaxed);
                if matches!(back, mpsc::error::TrySendError::Full(_)) {
                    self.running.over(Reason::Slow);
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use bytes::Bytes;
    use crossbeam_channel::bounded;

    use super::super::running::begun;
    use crate::hub::Hub;

    const SIZE: Size = Size {
        width: 160,
        height: 128,
    };

    fn packet(codec: Codec, key: bool) -> Packet {
        Packet {
            codec,
            pts: Duration::ZERO,
            key,
            accepted: None,
            data: Bytes::from_static(&[0; 10]),
        }
    }

    struct Bench {
        hub: Arc<Hub>,
        running: Arc<Running>,
        queued: mpsc::Receiver<Queued>,
        task: tokio::task::JoinHandle<()>,
    }

    /// A task that listens, in front of a disk for which `room` packets may wait.
    fn listen(room: usize) -> Bench {
        let hub = Hub::new();
        let (stop, stopped) = oneshot::channel();
        let told = begun("live", "live-20261118T010203Z".into());
        let running = Arc::new(Running::new(told, stop, bounded(1).1));
        let (queue, queued) = mpsc::channel(room);
        let listening = Listening {
            watch: hub.watch(Codec::H264),
            size: Box::new(|| SIZE),
            queue,
            running: Arc::clone(&running),
        };
        let task = tokio::spawn(listening.run(stopped));
        Bench {
            hub,
            running,
            queued,
            task,
        }
    }

    #[tokio::test]
    async fn a_slow_disk_ends_the_recording_and_the_stream_waits_for_nothing() {
        let mut bench = listen(WAITING);
        for _ in 0..WAITING {
            bench.hub.send(packet(Codec::Opus, true));
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.running.held_bytes(), 10 * WAITING as u64);
        assert_eq!(bench.running.reason.get(), None);
        bench.hub.send(packet(Codec::Opus, true));
        bench.task.await.expect("it ends");
        assert_eq!(bench.running.reason.get(), Some(&Reason::Slow));
        assert_eq!(bench.running.held_bytes(), 10 * WAITING as u64);
        assert!(!bench.hub.watched());
        // What waits is written all the same.
        let mut left = 0;
        while bench.queued.recv().await.is_some() {
            left += 1;
        }
        assert_eq!(left, WAITING);
    }

    #[tokio::test]
    async fn pictures_after_a_gap_are_left_out_until_the_next_key_frame() {
        let mut bench = listen(WAITING);
        // The task hasn't had its turn: the hub's ring runs over.
        for _ in 0..200 {
            bench.hub.send(packet(Codec::H264, false));
        }
        tokio::task::yield_now().await;
        for (codec, key) in [
            (Codec::H264, false),
            (Codec::Opus, true),
            (Codec::H264, true),
            (Codec::H264, false),
        ] {
            bench.hub.send(packet(codec, key));
        }
        drop(bench.hub);
        bench.task.await.expect("it ends");
        assert_eq!(bench.running.reason.get(), Some(&Reason::SessionEnded));
        let mut got = Vec::new();
        while let Some(Queued { packet, size }) = bench.queued.recv().await {
            got.push((packet.codec, packet.key, size));
        }
        assert_eq!(
            got,
            [
                (Codec::Opus, true, None),
                (Codec::H264, true, Some(SIZE)),
                (Codec::H264, false, None),
            ]
        );
    }

    #[tokio::test]
    async fn who_stops_it_is_the_reason() {
        let bench = listen(1);
        bench.running.stop();
        bench.task.await.expect("it ends");
        assert_eq!(bench.running.reason.get(), Some(&Reason::Stopped));
    }
}
