//! The devices that cpal finds, and how one is opened.
//!
//! A driver may hang (ALSA's PulseAudio plugin does while its server is
//! stopped), so everything here is called on threads that may be left behind.

use std::any::Any;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig,
    SupportedBufferSize, SupportedStreamConfig,
};
use crossbeam_channel::bounded;

use super::door;
use super::tap::{Alarm, Feed, Tap, tap};

/// How often the device is asked to call: often, so that live sound waits
/// little, and not so often that a busy machine misses a call.
const PERIOD: Duration = Duration::from_millis(15);
/// A device that can't call more often than this is left at what it likes best.
const LONGEST_PERIOD: Duration = Duration::from_millis(20);
/// How long a device that was opened may take to deliver its first sample. A
/// monitor of PulseAudio takes a second.
pub(super) const FIRST_SOUND: Duration = Duration::from_secs(2);
/// How long a device is listened to before it counts as paced by a clock.
pub(super) const LISTEN: Duration = Duration::from_millis(100);
/// How long a driver may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Devices of ALSA that capture nothing: they convert, or they swallow.
const PSEUDO: [&str; 8] = [
    "null",
    "lavrate",
    "samplerate",
    "speexrate",
    "speex",
    "upmix",
    "vdownmix",
    "oss",
];

/// Why a microphone can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system has no sound at all.
    #[error("there is no sound system on this machine")]
    NoHost(#[source] cpal::Error),
    /// No default device.
    #[error("there is no default microphone; name one in audio.device ({names})")]
    NoDefault {
        /// What there is.
        names: Names,
    },
    /// No device of that name.
    #[error("no microphone is called {wanted:?} ({names})")]
    NotFound {
        /// What `audio.device` says.
        wanted: String,
        /// What there is.
        names: Names,
    },
    /// The device is there but refuses.
    #[error("the microphone {name} can't be opened")]
    Open {
        /// What the device is called.
        name: String,
        /// What the driver said.
        source: cpal::Error,
    },
    /// DSD and whatever comes next.
    #[error("the microphone {name} speaks {format}, which can't be read; choose another")]
    Format {
        /// What the device is called.
        name: String,
        /// What it speaks.
        format: SampleFormat,
    },
    /// A rate or a number of channels that makes no sense.
    #[error(transparent)]
    Door(#[from] door::Error),
    /// A driver hangs.
    #[error("the sound system doesn't answer")]
    NoAnswer,
    /// The callbacks ended.
    #[error("the microphone {0} is silent")]
    Silent(String),
    /// ALSA's `null` in disguise.
    #[error(
        "the microphone {0} runs faster than time, so it is none; choose another in audio.device"
    )]
    Unpaced(String),
    /// The system has no thread for us.
    #[error("cannot start the thread that listens")]
    Thread(#[source] std::io::Error),
}

/// The names of devices, for whoever has to choose one.
#[derive(Debug)]
pub struct Names(Vec<String>);

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is none");
        }
        write!(f, "there is {}", self.0.join(", "))
    }
}

/// A device that may be a microphone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// For people.
    pub name: String,
    /// For `audio.device`.
    pub id: String,
    /// Whether it is the one that an empty `audio.device` means.
    pub default: bool,
}

/// Something that can be opened and then calls back.
pub trait Opens: Send + Sync + 'static {
    /// Opens it. The callback pushes into the feed that is returned, and wakes
    /// `ear`; dropping the other half ends it.
    fn open(&self, ear: &Thread) -> Result<(Feed, Box<dyn Any>), Error>;
}

/// The devices of this machine that say that they capture. Waits for no
/// driver longer than three seconds.
pub fn list() -> Result<Vec<Device>, Error> {
    aside(|| {
        let host = host()?;
        let default = host
            .default_input_device()
            .map(|device| describe(&device).id);
        let mut devices: Vec<_> = candidates(&host).iter().map(describe).collect();
        for device in &mut devices {
            device.default = default.as_ref() == Some(&device.id);
        }
        Ok(devices)
    })?
}

/// Whether the microphone `wanted` (empty: the default one) is there, opens,
/// and delivers sound at the pace of time. Takes up to two seconds where it is
/// silent, or three where a driver hangs.
pub fn available(wanted: &str) -> bool {
    let device = Cpal::new(wanted);
    aside(move || listen(&device)).is_ok_and(|heard| heard.is_ok())
}

/// Runs `work` on a thread that is left behind when it hangs.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let (answer, wait) = bounded(1);
    thread::Builder::new()
        .name("devices".into())
        .spawn(move || {
            quiet();
            // An error says that nobody waits any more.
            let _nobody = answer.send(work());
        })
        .map_err(Error::Thread)?;
    wait.recv_timeout(PATIENCE).map_err(|_| Error::NoAnswer)
}

/// Opens `device` until it is clear whether it is a microphone.
fn listen(device: &dyn Opens) -> Result<(), Error> {
    let (feed, _stream) = device.open(&thread::current())?;
    let start = Instant::now();
    loop {
        thread::park_timeout(LISTEN / 4);
        let elapsed = start.elapsed();
        if unpaced(&feed, elapsed) {
            return Err(Error::Unpaced(feed.name));
        }
        if feed.failed() || elapsed > FIRST_SOUND {
            return Err(Error::Silent(feed.name));
        }
        if feed.frames() > 0 && elapsed > LISTEN {
            return Ok(());
        }
    }
}

/// Whether a device that was opened `elapsed` ago delivered more than a clock
/// and a full buffer can explain.
pub(super) fn unpaced(feed: &Feed, elapsed: Duration) -> bool {
    let most = (elapsed.as_secs_f64() * 2.0 + 2.0) * f64::from(feed.rate);
    feed.frames() as f64 > most
}

/// Keeps ALSA from writing to our standard error, on this thread.
pub(super) fn quiet() {
    #[cfg(target_os = "linux")]
    // What it says comes back to us as an error too, so the text may go.
    let _text = alsa::Output::local_error_handler();
}

/// The device of cpal that `audio.device` means.
pub struct Cpal {
    wanted: String,
}

impl Cpal {
    /// The device whose id is `wanted`, or else whose id or name contains it;
    /// empty: the default one.
    pub fn new(wanted: &str) -> Self {
        Self {
            wanted: wanted.trim().to_owned(),
        }
    }

    fn find(&self) -> Result<cpal::Device, Error> {
        let host = host()?;
        if self.wanted.is_empty() {
            return host.default_input_device().ok_or_else(|| Error::NoDefault {
                names: names(&candidates(&host)),
            });
        }
        let mut devices = candidates(&host);
        let ids: Vec<Device> = devices.iter().map(describe).collect();
        choose(&ids, &self.wanted)
            .map(|n| devices.swap_remove(n))
            .ok_or_else(|| Error::NotFound {
                wanted: self.wanted.clone(),
                names: names(&devices),
            })
    }
}

impl Opens for Cpal {
    fn open(&self, ear: &Thread) -> Result<(Feed, Box<dyn Any>), Error> {
        let device = self.find()?;
        let name = describe(&device).name;
        let refused = |source| Error::Open {
            name: name.clone(),
            source,
        };
        let config = device.default_input_config().map_err(refused)?;
        door::check(config.sample_rate(), config.channels().into())?;
        let opened = match build(&device, &name, &config, period(&config), ear) {
            // Some drivers refuse a size that they said was fine.
            Err(Error::Open { .. }) => build(&device, &name, &config, BufferSize::Default, ear),
            opened => opened,
        };
        let (feed, stream) = opened?;
        stream.play().map_err(refused)?;
        Ok((feed, Box::new(stream)))
    }
}

/// The size to ask for, in frames.
fn period(config: &SupportedStreamConfig) -> BufferSize {
    let frames = |time: Duration| (f64::from(config.sample_rate()) * time.as_secs_f64()) as u32;
    match *config.buffer_size() {
        SupportedBufferSize::Range { min, max }
            if min <= frames(LONGEST_PERIOD) && max >= frames(PERIOD) / 2 =>
        {
            BufferSize::Fixed(frames(PERIOD).clamp(min, max))
        }
        _ => BufferSize::Default,
    }
}

fn build(
    device: &cpal::Device,
    name: &str,
    config: &SupportedStreamConfig,
    size: BufferSize,
    ear: &Thread,
) -> Result<(Feed, cpal::Stream), Error> {
    let channels = usize::from(config.channels());
    let (tap, alarm, feed) = tap(name.to_owned(), config.sample_rate(), channels, ear);
    let mut plain = config.config();
    plain.buffer_size = size;
    let stream = match config.sample_format() {
        SampleFormat::I8 => stream::<i8>(device, plain, tap, alarm),
        SampleFormat::I16 => stream::<i16>(device, plain, tap, alarm),
        SampleFormat::I24 => stream::<cpal::I24>(device, plain, tap, alarm),
        SampleFormat::I32 => stream::<i32>(device, plain, tap, alarm),
        SampleFormat::I64 => stream::<i64>(device, plain, tap, alarm),
        SampleFormat::U8 => stream::<u8>(device, plain, tap, alarm),
        SampleFormat::U16 => stream::<u16>(device, plain, tap, alarm),
        SampleFormat::U24 => stream::<cpal::U24>(device, plain, tap, alarm),
        SampleFormat::U32 => stream::<u32>(device, plain, tap, alarm),
        SampleFormat::U64 => stream::<u64>(device, plain, tap, alarm),
        SampleFormat::F32 => stream::<f32>(device, plain, tap, alarm),
        SampleFormat::F64 => stream::<f64>(device, plain, tap, alarm),
        format => {
            return Err(Error::Format {
                name: name.to_owned(),
                format,
            });
        }
    };
    let stream = stream.map_err(|source| Error::Open {
        name: name.to_owned(),
        source,
    })?;
    Ok((feed, stream))
}

fn stream<T: SizedSample>(
    device: &cpal::Device,
    config: StreamConfig,
    mut tap: Tap,
    alarm: Alarm,
) -> Result<cpal::Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    device.build_input_stream::<T, _, _>(
        config,
        move |samples, _| tap.push(samples),
        move |error| match error.kind() {
            // cpal goes on by itself after these.
            ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            _ => alarm.raise(),
        },
        Some(PATIENCE),
    )
}

/// The first sound system that answers. PulseAudio, and PipeWire in its place, goes
/// before ALSA: through ALSA's plugin for it cpal waits for sound without a pause, and
/// takes a whole core (`snd_pcm_poll_descriptors` says that there is some as long as
/// there is less than a period).
fn host() -> Result<cpal::Host, Error> {
    // Not `default_host`: that one panics where there is no sound system.
    let mut refused = ErrorKind::HostUnavailable.into();
    for id in cpal::available_hosts() {
        match cpal::host_from_id(id) {
            Ok(host) => return Ok(host),
            Err(error) => refused = error,
        }
    }
    Err(Error::NoHost(refused))
}

fn candidates(host: &cpal::Host) -> Vec<cpal::Device> {
    let devices = host.input_devices().into_iter().flatten();
    devices
        .filter(|device| !PSEUDO.contains(&describe(device).id.as_str()))
        .collect()
}

fn describe(device: &cpal::Device) -> Device {
    let id = device
        .id()
        .map_or_else(|_| String::new(), |id| id.id().to_owned());
    Device {
        name: device.to_string(),
        default: false,
        id,
    }
}

fn names(devices: &[cpal::Device]) -> Names {
    let describe = |device| {
        let Device { name, id, .. } = describe(device);
        format!("{id} ({name})")
    };
    Names(devices.iter().map(describe).collect())
}

/// Which of `devices` is meant by `wanted`.
fn choose(devices: &[Device], wanted: &str) -> Option<usize> {
    let wanted = wanted.to_lowercase();
    let exact = |device: &Device| device.id.to_lowercase() == wanted;
    let within = |device: &Device| {
        device.id.to_lowercase().contains(&wanted) || device.name.to_lowercase().contains(&wanted)
    };
    let mut all = devices.iter();
    all.position(exact)
        .or_else(|| devices.iter().position(within))
}

#[cfg(test)]
mod tests;
