//! `mouthpiece doctor`: what works on this machine, what doesn't, and how to
//! mend it.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::Context;
use mouthpiece::config::Config;
use mouthpiece::gpu::Gpu;
use mouthpiece::media::{Codec, FRAME_PERIOD};
use mouthpiece::memory;
use mouthpiece::model::Bundle;
use mouthpiece::process;
use mouthpiece::run::avatars::Avatars;
use mouthpiece::run::library;
use mouthpiece::run::sessions::Sessions;
use mouthpiece::stage::audio::file::SoundFile;
use mouthpiece::stage::audio::{Source, device};
use mouthpiece::stage::lipsync::{self, Runtime};

/// How long a session may take to its first encoded picture.
const DRAWN: Duration = Duration::from_secs(10);

/// One finding.
enum Finding {
    /// It works.
    Works(String),
    /// It doesn't, and the rest works without.
    Missing(String),
    /// Nothing works without.
    Broken(String),
}

use Finding::{Broken, Missing, Works};

/// Checks everything and prints a line for each.
pub fn run(config: anyhow::Result<Config>) -> anyhow::Result<()> {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            print("configuration", &Broken(format!("{error:#}")));
            anyhow::bail!("mend the configuration first");
        }
    };
    let mut broken = 0;
    let mut check = |name: &str, finding: Finding| {
        print(name, &finding);
        broken += usize::from(matches!(finding, Broken(_)));
    };
    check("machine", machine(&config));
    check("ONNX Runtime", or_broken(runtime(&config)));
    check("avatar", or_broken(avatar(&config)));
    // Before the model is loaded for the first time, which is what it measures.
    check("memory", or_broken(memory(&config)));
    check("model", or_broken(model(&config)));
    if config.models.provider.on_nvidia() {
        check("GPU", gpu(&config));
    }
    check("threads", or_broken(threads(&config)));
    check("welcome speech", or_missing(welcome(&config)));
    check("microphone", microphone(&config));
    check("http port", http(&config));
    check("media port", media(&config));
    check("window", window());
    if broken > 0 {
        anyhow::bail!("{broken} of these must be mended before `mouthpiece serve` works");
    }
    println!("`mouthpiece serve` works here.");
    Ok(())
}

fn print(name: &str, finding: &Finding) {
    let (sign, text) = match finding {
        Works(text) => ("ok     ", text),
        Missing(text) => ("missing", text),
        Broken(text) => ("BROKEN ", text),
    };
    println!("{sign}  {name:<15} {text}");
}

/// The GPU that networks run on, and what is taken of its memory.
fn gpu(config: &Config) -> Finding {
    let Some(usage) = Gpu::open().and_then(|gpu| gpu.usage()) else {
        return Missing(
            "NVIDIA's driver doesn't tell of its memory, so memory.gpu_budget_mb has no effect"
                .into(),
        );
    };
    Works(format!(
        "{} of {} MB of its memory are taken, and networks may have {}",
        usage.used_bytes >> 20,
        usage.total_bytes >> 20,
        config.memory.gpu_budget(usage.total_bytes) >> 20,
    ))
}

fn or_broken(result: anyhow::Result<String>) -> Finding {
    result.map_or_else(|error| Broken(format!("{error:#}")), Works)
}

fn or_missing(result: anyhow::Result<String>) -> Finding {
    result.map_or_else(|error| Missing(format!("{error:#}")), Works)
}

fn machine(config: &Config) -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let total = memory::machine();
    let has = total.map_or_else(
        || "unknown".to_owned(),
        |total| format!("{} MB", total >> 20),
    );
    let budget = config.memory.budget();
    let text = format!("{cores} cores, {has} of memory, budget {} MB", budget >> 20);
    if total.is_some_and(|total| budget > total) {
        return Missing(format!(
            "{text}: the budget is more than the machine, or the process's control group, has; set memory.budget_mb lower, or to a share as \"50%\""
        ));
    }
    Works(text)
}

/// The memory formula, with the model as it is measured now.
fn memory(config: &Config) -> anyhow::Result<String> {
    let assets = config.assets()?;
    let avatar = super::open_avatar(config, &assets)?;
    let (_, formula) = super::open_model_within(config, &assets, &avatar)?;
    let caches = super::clip_cache(config, &formula) as f64 / f64::from(1 << 20);
    let budget = config.memory.budget() >> 20;
    Ok(format!(
        "{formula} of {budget}; caches may have {caches:.1}"
    ))
}

/// The threads of a session that draws: each of ours by its name, and what native
/// libraries start under the name of the thread that called them.
fn threads(config: &Config) -> anyhow::Result<String> {
    let mut config = config.clone();
    // No device is opened for this.
    config.audio.source = Source::None;
    let assets = config.assets()?;
    let library = super::open_model(&config, &assets)?;
    let avatars = Avatars::new(&assets);
    let sessions = Sessions::new(super::serve::kit(&config, &assets, avatars, &library));
    let session = sessions.start_live(false)?;
    let watch = session.hub.watch(Codec::H264);
    let began = Instant::now();
    while session.stats.encode.recent().max.is_zero() {
        anyhow::ensure!(
            began.elapsed() < DRAWN,
            "no picture was drawn within {DRAWN:?}"
        );
        std::thread::sleep(FRAME_PERIOD);
    }
    let threads = process::threads();
    drop(watch);
    sessions.end();
    let list: Vec<_> = threads
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    let native = threads.values().map(|n| n - 1).sum::<usize>();
    Ok(format!(
        "{} with a session at work: {}; {native} of them of native libraries, which have the name of whoever called them. `serve` has network and watchdog beside",
        threads.values().sum::<usize>(),
        list.join(", "),
    ))
}

fn runtime(config: &Config) -> anyhow::Result<String> {
    let path = lipsync::library(&config.models)?;
    Runtime::load(&config.models)?;
    Ok(path.display().to_string())
}

fn avatar(config: &Config) -> anyhow::Result<String> {
    let avatar = super::open_avatar(config, &config.assets()?)?;
    let size = avatar.size;
    Ok(format!(
        "{}, {}x{}, {} frames idle",
        avatar.name,
        size.width,
        size.height,
        avatar.idle().len()
    ))
}

fn model(config: &Config) -> anyhow::Result<String> {
    let folder = super::bundle(&config.assets()?, "model", &config.show.model)?;
    let bundle = Bundle::open(&folder)?;
    let started = Instant::now();
    let network = library::load(&bundle, &Runtime::load(&config.models)?)?;
    Ok(format!(
        "{}, {} pixels, loads in {} ms, hears {} ms ahead",
        bundle.manifest.name,
        network.size(),
        started.elapsed().as_millis(),
        bundle.manifest.look_ahead_ms
    ))
}

fn welcome(config: &Config) -> anyhow::Result<String> {
    let path = super::speech_file(config, &config.assets()?);
    let mut file = SoundFile::open(&path).context("set audio.file to a sound file")?;
    Ok(format!(
        "{}, {:.0} s",
        path.display(),
        file.measure()?.as_secs_f64()
    ))
}

fn microphone(config: &Config) -> Finding {
    match device::list() {
        Ok(devices) if devices.is_empty() => {
            Missing("none: the welcome speech plays instead. Plug one in, or run where PulseAudio or PipeWire has a source".into())
        }
        Ok(devices) => {
            let names: Vec<_> = devices
                .iter()
                .map(|d| format!("{}{}", d.name, if d.default { " (default)" } else { "" }))
                .collect();
            let wanted = &config.audio.device;
            if device::available(wanted) {
                Works(names.join(", "))
            } else if wanted.is_empty() {
                let names = names.join(", ");
                Missing(format!(
                    "none gives sound: the welcome speech plays instead. Name another in audio.device: {names}"
                ))
            } else {
                Missing(format!(
                    "none called {wanted:?} gives sound; there are: {}",
                    names.join(", ")
                ))
            }
        }
        Err(error) => Missing(error.to_string()),
    }
}

fn http(config: &Config) -> Finding {
    let http = &config.http;
    match http.tls().and_then(|_| http.bind()) {
        Ok(_) => Works(format!("{} is free", http.url(http.listen))),
        Err(error) => Broken(error.to_string()),
    }
}

fn media(config: &Config) -> Finding {
    let port = config.media.udp_port;
    match UdpSocket::bind(("0.0.0.0", port)) {
        Ok(_) => Works(format!(
            "UDP {port} is free; open it in the firewall for viewers elsewhere"
        )),
        Err(error) => Broken(format!(
            "UDP port {port}: {error}. Stop the other program, or set media.udp_port"
        )),
    }
}

fn window() -> Finding {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("DISPLAY") || set("WAYLAND_DISPLAY") {
        Works("--preview has a display".into())
    } else {
        Missing("--preview has no display here; the page shows the same".into())
    }
}
