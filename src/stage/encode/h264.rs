//! Pictures to H.264, constrained baseline: what every browser can play.

use std::time::Duration;

use bytes::Bytes;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, Profile,
    QpRange, RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{OpenH264API, Timestamp};

use super::{Config, Encoded, Error};
use crate::media::FPS;
use crate::native;
use crate::pool::Size;

/// Quantisers of clips: at the coarser end no block shows yet.
const FINE: QpRange = QpRange::new(12, 22);

/// An H.264 encoder for live pictures of one size.
pub struct H264 {
    encoder: Encoder,
    size: Size,
    /// A bitrate that the encoder takes once it has encoded its first frame.
    pending_bps: Option<u32>,
    started: bool,
    /// The bitstream of the last frame, kept for its room.
    bitstream: Vec<u8>,
}

impl H264 {
    /// An encoder that allocates its pictures with the first frame.
    pub fn new(config: &Config, size: Size) -> Result<Self, Error> {
        Self::with(settings(config), size)
    }

    /// An encoder for clips, which are encoded once and looked at for long: no
    /// picture is coarser than [`FINE`] allows, whatever it costs.
    pub fn fine(config: &Config, size: Size) -> Result<Self, Error> {
        let settings = settings(config).qp(FINE).complexity(Complexity::Medium);
        Self::with(settings, size)
    }

    fn with(settings: EncoderConfig, size: Size) -> Result<Self, Error> {
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), settings)
            .map_err(|source| failed(size, source))?;
        native::silence_h264(&mut encoder);
        Ok(Self {
            encoder,
            size,
            pending_bps: None,
            started: false,
            bitstream: Vec::new(),
        })
    }

    /// Size of the pictures in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Encodes the picture `i420`, as a key frame if `key` is set. The first
    /// one always is.
    ///
    /// # Panics
    ///
    /// If `i420` is not a picture of [`H264::size`].
    pub fn encode(&mut self, i420: &[u8], pts: Duration, key: bool) -> Result<Encoded, Error> {
        let Size { width, height } = self.size;
        let [y, u, v] = self.size.planes(i420);
        let picture = YUVSlices::new((y, u, v), (width, height), (width, width / 2, width / 2));
        if key && self.started {
            self.encoder.force_intra_frame();
        }
        if let Some(bps) = self.pending_bps.take_if(|_| self.started) {
            self.apply_bitrate(bps)?;
        }
        let pts = Timestamp::from_millis(u64::try_from(pts.as_millis()).unwrap_or(u64::MAX));
        let encoded = self
            .encoder
            .encode_at(&picture, pts)
            .map_err(|source| failed(self.size, source))?;
        self.bitstream.clear();
        encoded.write_vec(&mut self.bitstream);
        self.started = true;
        Ok(Encoded {
            key: encoded.frame_type() == FrameType::IDR,
            data: Bytes::copy_from_slice(&self.bitstream),
        })
    }

    /// Changes the bitrate, in bits a second, from the next frame on.
    pub fn set_bitrate(&mut self, bps: u32) -> Result<(), Error> {
        if self.started {
            self.apply_bitrate(bps)
        } else {
            self.pending_bps = Some(bps);
            Ok(())
        }
    }

    fn apply_bitrate(&mut self, bps: u32) -> Result<(), Error> {
        if native::set_h264_bitrate(&mut self.encoder, bps) {
            Ok(())
        } else {
            Err(Error::Bitrate { bps })
        }
    }
}

/// How live pictures of a face are encoded.
fn settings(config: &Config) -> EncoderConfig {
    EncoderConfig::new()
        .profile(Profile::Baseline)
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::Low)
        .rate_control_mode(RateControlMode::Bitrate)
        .bitrate(BitRate::from_bps(config.video_kbps * 1_000))
        .max_frame_rate(FrameRate::from_hz(FPS as f32))
        .intra_frame_period(IntraFramePeriod::from_num_frames(
            config.key_interval_frames(),
        ))
        // A frame that is missing shows; one that is coarse for 40 ms doesn't.
        .skip_frames(false)
        // A face is one scene: a key frame that nobody asked for only costs.
        .scene_change_detect(false)
        // Both look over every picture for what a still camera before one
        // face hardly has, for a tenth of the encoder's time.
        .adaptive_quantization(false)
        .background_detection(false)
        // The sessions are the parallelism.
        .num_threads(1)
        // OpenCV converts with BT.601 in limited range. Players that aren't
        // told guess, and take high pictures for BT.709.
        .vui(VuiConfig::bt601())
}

fn failed(size: Size, source: openh264::Error) -> Error {
    let Size { width, height } = size;
    Error::H264 {
        width,
        height,
        source,
    }
}
