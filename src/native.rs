//! The calls into C that no safe crate offers, each behind a safe function.
//!
//! The one place with `unsafe` in the program: the allocator's switches, the
//! clocks of processor time, priorities, what libraries say, locks on files, a bitrate change in a running openh264,
//! libvpx, and runs of one network side by side.

#![allow(unsafe_code)]

mod vp8;

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use openh264::encoder::Encoder;
use openh264_sys2 as h264;
use ort::AsPointer;
use ort::session::{IoBinding, Session};

pub use vp8::{Vp8Encoder, VpxError};

/// Gives free memory of the heap back to the system. Returns whether any was.
#[cfg(target_env = "gnu")]
pub fn trim_allocator() -> bool {
    // SAFETY: malloc_trim takes no pointers and may be called at any time.
    unsafe { libc::malloc_trim(0) == 1 }
}

/// Gives free memory of the heap back to the system. Returns whether any was.
#[cfg(not(target_env = "gnu"))]
pub fn trim_allocator() -> bool {
    false
}

/// What the allocator itself counts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// In use.
    pub allocated: u64,
    /// Taken from the system: what is in use, and what lies ready for later.
    pub held: u64,
}

/// What the allocator counts. `None` where it doesn't.
#[cfg(target_env = "gnu")]
pub fn heap() -> Option<Heap> {
    // SAFETY: mallinfo2 takes no arguments and may be called at any time.
    let info = unsafe { libc::mallinfo2() };
    // Blocks with a mapping of their own are in neither of the other two.
    Some(Heap {
        allocated: (info.uordblks + info.hblkhd) as u64,
        held: (info.arena + info.hblkhd) as u64,
    })
}

/// What the allocator counts. `None` where it doesn't.
#[cfg(not(target_env = "gnu"))]
pub fn heap() -> Option<Heap> {
    None
}

/// Lets threads share `count` heaps instead of having one each, which keeps
/// what each of them frees from lying idle. Call it before threads start.
/// Returns whether the allocator knows this.
#[cfg(target_env = "gnu")]
pub fn limit_arenas(count: u8) -> bool {
    // SAFETY: mallopt takes two numbers and may be called at any time.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, c_int::from(count)) == 1 }
}

/// Lets threads share `count` heaps. Returns whether the allocator knows this.
#[cfg(not(target_env = "gnu"))]
pub fn limit_arenas(_count: u8) -> bool {
    false
}

/// Blocks from this size on go back to the system as they are freed. What networks
/// and coders take for each frame is smaller (1 MB at most, with the bundled model):
/// from the system it would come as pages of zeros, of which 330 a frame cost 1 ms.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: c_int = 2 << 20;

/// What may lie free at a heap's end before it goes back too: more than the largest
/// block that a frame takes, so that none goes back with each.
#[cfg(target_env = "gnu")]
const SPARE_BYTES: c_int = 3 << 19;

/// Keeps large blocks out of the heap, where a small one above them would hold
/// what they leave. The allocator does so by itself until the first large block is
/// freed. Call it before threads start. Returns whether the allocator knows this.
#[cfg(target_env = "gnu")]
pub fn return_large_blocks() -> bool {
    // SAFETY: mallopt takes two numbers and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, SPARE_BYTES) == 1
            && libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) == 1
    }
}

/// Keeps large blocks out of the heap. Returns whether the allocator knows this.
#[cfg(not(target_env = "gnu"))]
pub fn return_large_blocks() -> bool {
    false
}

/// Ends the process quietly when whoever reads its output stops, as `head` does.
/// Not for a process that writes to pipes or sockets of others.
pub fn end_with_the_reader() {
    // SAFETY: the default action is a valid handler for this signal, and no
    // other thread runs yet that could rely on another one.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Keeps FFmpeg and OpenCV from writing on the console about files that they
/// can't read: what is wrong with them is said by us. Call it before threads start.
pub fn silence_ffmpeg() {
    // SAFETY: no other thread runs yet that could read the environment meanwhile.
    unsafe {
        std::env::set_var("OPENCV_FFMPEG_LOGLEVEL", "-8");
        std::env::set_var("OPENCV_LOG_LEVEL", "SILENT");
    }
}

/// Runs `work` without what C libraries print on standard error meanwhile: the JPEG
/// library says a line about every damaged file, and offers no switch. Not while
/// other threads have something to say.
pub fn unheard<T>(work: impl FnOnce() -> T) -> T {
    /// Puts standard error back, even when `work` panics.
    struct Back(c_int);
    impl Drop for Back {
        fn drop(&mut self) {
            // SAFETY: the descriptor is one that this function opened, and nobody
            // else knows it.
            unsafe {
                libc::dup2(self.0, libc::STDERR_FILENO);
                libc::close(self.0);
            }
        }
    }
    let Ok(nowhere) = File::options().write(true).open("/dev/null") else {
        return work();
    };
    // SAFETY: standard error may be duplicated at any time; both calls take
    // descriptors only, and `nowhere` is open through the second.
    let _back = unsafe {
        let kept = libc::fcntl(libc::STDERR_FILENO, libc::F_DUPFD_CLOEXEC, 3);
        if kept < 0 {
            return work();
        }
        libc::dup2(nowhere.as_raw_fd(), libc::STDERR_FILENO);
        Back(kept)
    };
    work()
}

/// Locks `file` for as long as it is open, however the process ends. Returns
/// whether nobody else had locked it.
pub fn lock(file: &File) -> bool {
    // SAFETY: the descriptor is open through the call, which takes no pointers.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// Lets the process run only while nothing else wants a processor. Threads that are
/// there already keep their priority: call it before they start. Returns whether the
/// system took it.
#[cfg(target_os = "linux")]
pub fn run_when_idle() -> bool {
    // SAFETY: zeros are a valid parameter, which is borrowed for the call and only
    // read; the second call takes numbers. Zero is the calling thread in both.
    unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        let idle = libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) == 0;
        // Where threads may not be idle they can still stand back.
        idle || libc::setpriority(libc::PRIO_PROCESS, 0, 19) == 0
    }
}

/// Lets the process run only while nothing else wants a processor. Returns whether
/// the system took it.
#[cfg(not(target_os = "linux"))]
pub fn run_when_idle() -> bool {
    // SAFETY: it takes numbers, of which zero is the calling process.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) == 0 }
}

/// Keeps ONNX Runtime from reporting home. Since 1.29 the official builds for Linux
/// do: an own thread, a database in the user's cache folder, and uploads, all of it
/// begun before an environment can be told not to. Call it before threads start.
pub fn silence_onnxruntime() {
    // SAFETY: no other thread runs yet that could read the environment meanwhile.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

/// Processor time that the calling thread has used.
pub fn thread_cpu_time() -> Duration {
    cpu_time(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time that the process has used, all threads together.
pub fn process_cpu_time() -> Duration {
    cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives through the call, which writes nothing else.
    let status = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(status, 0, "every system that we build for has these clocks");
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Keeps openh264 from writing on the console. It warns of every encoder that
/// skips no frames, before the safe wrapper gets to silence it.
pub fn silence_h264(encoder: &mut Encoder) {
    let mut level: c_int = h264::WELS_LOG_QUIET;
    // SAFETY: the encoder is borrowed for the call, which reads one int, and
    // the level may be set before the encoder is initialised.
    unsafe {
        encoder.raw_api().set_option(
            h264::ENCODER_OPTION_TRACE_LEVEL,
            (&raw mut level).cast::<c_void>(),
        );
    }
}

/// Changes the bitrate of an encoder that has encoded a frame already; before
/// that it has no bitrate to change. Returns whether it took the new one.
pub fn set_h264_bitrate(encoder: &mut Encoder, bps: u32) -> bool {
    let Ok(bps) = c_int::try_from(bps) else {
        return false;
    };
    let info = |layer| h264::SBitrateInfo {
        iLayer: layer,
        iBitrate: bps,
    };
    let (mut ceiling, mut target) = (info(h264::SPATIAL_LAYER_0), info(h264::SPATIAL_LAYER_ALL));
    ceiling.iBitrate = 0;
    // SAFETY: the encoder is borrowed for the whole call, the two structures
    // are those that these options read and write, and a bitrate is nothing
    // that the safe wrapper relies on.
    unsafe {
        let api = encoder.raw_api();
        let read = api.get_option(
            h264::ENCODER_OPTION_MAX_BITRATE,
            (&raw mut ceiling).cast::<c_void>(),
        );
        // A target above the ceiling is refused, so the ceiling goes first.
        if read == 0 && ceiling.iBitrate != 0 && ceiling.iBitrate < bps {
            ceiling.iBitrate = bps;
            api.set_option(
                h264::ENCODER_OPTION_MAX_BITRATE,
                (&raw mut ceiling).cast::<c_void>(),
            );
        }
        api.set_option(
            h264::ENCODER_OPTION_BITRATE,
            (&raw mut target).cast::<c_void>(),
        ) == 0
    }
}

/// Runs `session` on what is bound. Several threads may run the same session at a
/// time, each with its own binding, where it runs on the CPU: ONNX Runtime says so of
/// `OrtApi::Run`. The safe wrapper wants the session for itself.
///
/// # Errors
///
/// What the runtime says.
pub fn run_bound(session: &Session, binding: &mut IoBinding) -> ort::Result<()> {
    // SAFETY: both are borrowed through the call, and what is bound belongs to the
    // binding. No options is what the safe wrapper passes too. The status is this
    // call's own, and is looked at once.
    unsafe {
        let run = ort::api().RunWithBinding;
        let status = run(session.ptr().cast_mut(), ptr::null(), binding.ptr());
        ort::Error::result_from_status(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_uses_processor_time() {
        let (thread, process) = (thread_cpu_time(), process_cpu_time());
        let mut sum = 0_u64;
        while thread_cpu_time() == thread {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(process_cpu_time() > process);
    }

    #[test]
    fn the_allocators_switches_work_where_it_has_them() {
        let gnu = cfg!(target_env = "gnu");
        assert_eq!(limit_arenas(2), gnu);
        assert_eq!(return_large_blocks(), gnu);
        let before = heap().map_or(0, |heap| heap.allocated);
        let block = std::hint::black_box(vec![1_u8; 8 << 20]);
        let heap = heap();
        assert_eq!(heap.is_some(), gnu);
        assert!(heap.is_none_or(|heap| heap.held >= heap.allocated));
        // Others of the tests' threads allocate and free meanwhile, but not as much.
        assert!(heap.is_none_or(|heap| heap.allocated > before + (4 << 20)));
        drop(block);
        // Whether a trim finds anything depends on what ran before.
        let _trimmed = trim_allocator();
    }
}
