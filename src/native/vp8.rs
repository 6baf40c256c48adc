//! libvpx's VP8, as a live sender wants it.

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::time::Duration;

use vpx_sys as vpx;

use crate::media::{FPS, FRAME_PERIOD};
use crate::pool::Size;

/// What libvpx says about a call that failed.
pub type VpxError = &'static str;

/// A VP8 encoder for live pictures: one pass, one thread, no look-ahead.
pub struct Vp8Encoder {
    /// Boxed, since the codec may keep the address that it was given at first.
    context: Box<vpx::vpx_codec_ctx_t>,
    config: Box<vpx::vpx_codec_enc_cfg_t>,
    size: Size,
}

// SAFETY: libvpx ties a codec to no thread; it only must not be used by two at
// once, which `&mut self` rules out.
unsafe impl Send for Vp8Encoder {}

impl Vp8Encoder {
    /// A codec for pictures of `size`, with a key frame at least every
    /// `key_interval` frames. `speed` is 0 (best) to 16 (fastest).
    pub fn new(size: Size, kbps: u32, key_interval: u32, speed: u8) -> Result<Self, VpxError> {
        // SAFETY: both structures are plain C data, for which zeros are valid;
        // the first call fills the configuration, the second the context.
        // Their boxes live as long as the codec does.
        unsafe {
            let interface = vpx::vpx_codec_vp8_cx();
            let mut config = Box::new(MaybeUninit::zeroed().assume_init());
            check(vpx::vpx_codec_enc_config_default(
                interface,
                &raw mut *config,
                0,
            ))?;
            configure(&mut config, size, kbps, key_interval);
            let mut context: Box<vpx::vpx_codec_ctx_t> =
                Box::new(MaybeUninit::zeroed().assume_init());
            check(vpx::vpx_codec_enc_init_ver(
                &raw mut *context,
                interface,
                &raw const *config,
                0,
                vpx::VPX_ENCODER_ABI_VERSION as c_int,
            ))?;
            let mut encoder = Self {
                context,
                config,
                size,
            };
            use vpx::vp8e_enc_control_id as control;
            // Negative: the speed is kept, whatever the processor is doing.
            encoder.control(control::VP8E_SET_CPUUSED, -c_int::from(speed))?;
            // Blocks that didn't change are skipped early: most of a face rests.
            encoder.control(control::VP8E_SET_STATIC_THRESHOLD, 1)?;
            encoder.control(control::VP8E_SET_NOISE_SENSITIVITY, 0)?;
            // A key frame may be as large as 4.5 mean frames: a larger one
            // would hold up those behind it.
            encoder.control(control::VP8E_SET_MAX_INTRA_BITRATE_PCT, 450)?;
            Ok(encoder)
        }
    }

    /// Encodes the picture `i420` and hands `packet` its bitstream, and whether
    /// it is a key frame. Asks for a key frame if `key` is set.
    ///
    /// # Panics
    ///
    /// If `i420` is not a picture of the size that the encoder was made for.
    pub fn encode(
        &mut self,
        i420: &[u8],
        pts: Duration,
        key: bool,
        mut packet: impl FnMut(&[u8], bool),
    ) -> Result<(), VpxError> {
        assert_eq!(i420.len(), self.size.i420_bytes(), "a picture of our size");
        let flags = if key { vpx::VPX_EFLAG_FORCE_KF } else { 0 };
        let (width, height) = (self.size.width as c_uint, self.size.height as c_uint);
        let mut image = MaybeUninit::zeroed();
        // SAFETY: `image` describes `i420`, which is as long as its planes are
        // (checked above), is only read, and outlives the call. A packet's
        // bytes belong to the codec until its next call, and are lent no longer
        // than `packet` runs.
        unsafe {
            vpx::vpx_img_wrap(
                image.as_mut_ptr(),
                vpx::vpx_img_fmt::VPX_IMG_FMT_I420,
                width,
                height,
                1,
                i420.as_ptr().cast_mut(),
            );
            check(vpx::vpx_codec_encode(
                &raw mut *self.context,
                image.as_ptr(),
                i64::try_from(pts.as_millis()).unwrap_or(i64::MAX),
                FRAME_PERIOD.as_millis() as _,
                flags.into(),
                vpx::VPX_DL_REALTIME.into(),
            ))?;
            let mut iterator = std::ptr::null();
            while let Some(next) =
                vpx::vpx_codec_get_cx_data(&raw mut *self.context, &raw mut iterator).as_ref()
            {
                if next.kind == vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                    let frame = &next.data.frame;
                    let bytes = std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz);
                    packet(bytes, frame.flags & vpx::VPX_FRAME_IS_KEY != 0);
                }
            }
        }
        Ok(())
    }

    /// Changes the bitrate from the next frame on.
    pub fn set_bitrate(&mut self, kbps: u32) -> Result<(), VpxError> {
        self.config.rc_target_bitrate = kbps;
        // SAFETY: both boxes are alive and were filled in `new`.
        check(unsafe {
            vpx::vpx_codec_enc_config_set(&raw mut *self.context, &raw const *self.config)
        })
    }

    fn control(&mut self, id: vpx::vp8e_enc_control_id, value: c_int) -> Result<(), VpxError> {
        // SAFETY: the context is alive, and all controls that `new` sets take
        // one int, signed or not.
        check(unsafe { vpx::vpx_codec_control_(&raw mut *self.context, id as c_int, value) })
    }
}

impl Drop for Vp8Encoder {
    fn drop(&mut self) {
        // SAFETY: the context was initialised in `new` and is destroyed once.
        unsafe { vpx::vpx_codec_destroy(&raw mut *self.context) };
    }
}

fn configure(config: &mut vpx::vpx_codec_enc_cfg_t, size: Size, kbps: u32, key_interval: u32) {
    config.g_w = size.width as c_uint;
    config.g_h = size.height as c_uint;
    // Time stamps in milliseconds.
    config.g_timebase.num = 1;
    config.g_timebase.den = 1_000;
    config.g_threads = 1;
    config.g_lag_in_frames = 0;
    config.g_error_resilient = 1;
    config.rc_end_usage = vpx::vpx_rc_mode::VPX_CBR;
    config.rc_target_bitrate = kbps;
    config.rc_min_quantizer = 2;
    config.rc_max_quantizer = 56;
    config.rc_undershoot_pct = 100;
    config.rc_overshoot_pct = 15;
    // A second of buffer, as live senders have it; no frame is ever dropped.
    config.rc_buf_sz = 1_000;
    config.rc_buf_initial_sz = 500;
    config.rc_buf_optimal_sz = 600;
    config.rc_dropframe_thresh = 0;
    config.kf_mode = vpx::vpx_kf_mode::VPX_KF_AUTO;
    config.kf_max_dist = key_interval.max(FPS);
}

fn check(status: vpx::vpx_codec_err_t) -> Result<(), VpxError> {
    if status == vpx::vpx_codec_err_t::VPX_CODEC_OK {
        return Ok(());
    }
    // SAFETY: libvpx answers any status with a string that lives for ever.
    let text = unsafe { CStr::from_ptr(vpx::vpx_codec_err_to_string(status)) };
    Err(text.to_str().unwrap_or("unknown error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvpx_says_what_it_did_not_like() {
        let size = Size {
            width: 0,
            height: 0,
        };
        assert_eq!(
            Vp8Encoder::new(size, 500, 250, 8).err(),
            Some("Invalid parameter")
        );
    }
}
