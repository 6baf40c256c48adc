//! The encoder and its file, on a thread of their own: while one picture is
//! encoded the next one is read and made ready.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::Error;
use crate::media::{Codec, FPS, FRAME_PERIOD, Packet};
use crate::pool::Size;
use crate::stage::encode::{self, H264};
use crate::stage::write::Mp4Writer;

/// Bits for each pixel of a clip: plenty, quality is held by the encoder's limit.
const BITS_A_PIXEL: f64 = 0.35;
/// Seconds from one key frame to the next.
const KEY_INTERVAL_S: u32 = 4;
/// Pictures on their way: one that is encoded, one that waits.
const PICTURES: usize = 2;

/// A clip's pictures, as they are written.
pub(super) struct Film {
    /// `None` at the end.
    pictures: Option<SyncSender<Vec<u8>>>,
    /// Pictures that were encoded, to be filled again.
    room: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Film {
    /// Begins the file `path` of pictures of `size`.
    pub(super) fn create(path: &Path, size: Size) -> Result<Self, Error> {
        let pixels = size.width * size.height;
        let kbps = pixels as f64 * BITS_A_PIXEL * f64::from(FPS) / 1e3;
        let config = encode::Config {
            video_kbps: (kbps as u32).clamp(2_000, 40_000),
            key_interval_s: KEY_INTERVAL_S,
            ..encode::Config::default()
        };
        let mut h264 = H264::fine(&config, size)?;
        let mut file = Mp4Writer::create(path, size, None)?;
        let (pictures, to_encode) = sync_channel::<Vec<u8>>(PICTURES);
        let (empty, room) = sync_channel(PICTURES);
        for _ in 0..PICTURES {
            empty
                .try_send(vec![0; size.i420_bytes()])
                .expect("it has room for all of them");
        }
        let encode = move || {
            let mut pts = Duration::ZERO;
            for i420 in to_encode {
                let picture = h264.encode(&i420, pts, false)?;
                file.write(&Packet {
                    codec: Codec::H264,
                    pts,
                    key: picture.key,
                    accepted: None,
                    data: picture.data,
                })?;
                pts += FRAME_PERIOD;
                // Nobody fills it again after the last one.
                let _ended = empty.try_send(i420);
            }
            file.finish()?;
            Ok(())
        };
        let thread = std::thread::Builder::new()
            .name("film".into())
            .spawn(encode)
            .map_err(|e| Error::write(path, e))?;
        Ok(Self {
            pictures: Some(pictures),
            room,
            thread: Some(thread),
        })
    }

    /// Encodes the picture `i420` after those before it.
    pub(super) fn push(&mut self, i420: &[u8]) -> Result<(), Error> {
        let Ok(mut picture) = self.room.recv() else {
            return self.end();
        };
        picture.copy_from_slice(i420);
        let sent = self.pictures.as_ref().map(|to| to.send(picture));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => self.end(),
        }
    }

    /// Completes the file.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.end()
    }

    /// Waits for what is on its way, and says what went wrong.
    fn end(&mut self) -> Result<(), Error> {
        drop(self.pictures.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Film {
    /// An import that is broken off leaves no thread in its folder.
    fn drop(&mut self) {
        let _told_before = self.end();
    }
}
