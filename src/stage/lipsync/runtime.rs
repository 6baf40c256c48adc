//! ONNX Runtime: a shared library, loaded once a process.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::{Config, Error, Provider};

/// The loaded library. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(crate) environment: Environment,
    pub(super) threads: usize,
    pub(super) provider: Provider,
    /// Whether the CPU is as good.
    fallback: bool,
    library: PathBuf,
}

/// One environment a process, ever: ONNX Runtime can't make a second one.
static ENVIRONMENT: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

impl Runtime {
    /// Loads the library, or takes the one that was loaded before.
    ///
    /// # Errors
    ///
    /// When there is no library, it is too old or damaged, or it hasn't the
    /// provider that is configured and may not do without.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let (environment, library) = environment(config)?;
        let mut runtime = Self {
            environment,
            threads: config.threads.max(1),
            provider: config.provider,
            fallback: config.provider_fallback,
            library,
        };
        if !config.provider.built_in() {
            runtime.provider = runtime.without("was built without it")?;
        }
        Ok(runtime)
    }

    /// What to do without the provider: the CPU, if that was allowed.
    pub(super) fn without(&self, problem: &str) -> Result<Provider, Error> {
        let missing = Error::Provider {
            provider: self.provider,
            library: self.library.clone(),
            problem: problem.to_owned(),
            mend: self.provider.mend(),
        };
        if !self.fallback {
            return Err(missing);
        }
        tracing::warn!(
            "networks run on the CPU: models.provider is {}, but {} {problem}",
            self.provider,
            self.library.display()
        );
        Ok(Provider::Cpu)
    }
}

fn environment(config: &Config) -> Result<(Environment, PathBuf), Error> {
    let mut loaded = ENVIRONMENT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(loaded) = &*loaded {
        return Ok(loaded.clone());
    }
    let path = library(config)?;
    let broken = |problem: String| Error::Runtime {
        path: path.clone(),
        problem,
    };
    let environment = ort::init_from(&path)
        .map_err(|e| broken(e.to_string()))?
        .with_name("mouthpiece")
        .with_telemetry(false)
        .build()
        .map_err(|e| broken(e.to_string()))?;
    // What goes wrong comes back as an error, and is told once.
    environment.set_log_level(LogLevel::Fatal);
    Ok(loaded.insert((environment, path)).clone())
}

/// Where the library is: as configured, else beside the program and its build,
/// else where the system keeps libraries.
///
/// # Errors
///
/// When it is nowhere.
pub fn library(config: &Config) -> Result<PathBuf, Error> {
    if !config.runtime.is_empty() {
        let path = PathBuf::from(&config.runtime);
        return path
            .exists()
            .then_some(path)
            .ok_or_else(|| Error::NoRuntime {
                looked: config.runtime.clone(),
            });
    }
    let mut folders = Vec::new();
    if let Ok(program) = std::env::current_exe() {
        // target/release/mouthpiece and target/release/deps/test-…
        for folder in program.ancestors().skip(1).take(3) {
            folders.push(folder.join("onnxruntime"));
        }
    }
    folders.extend(["/usr/local/lib", "/usr/lib"].map(PathBuf::from));
    if let Some(found) = folders.iter().find_map(|folder| library_in(folder)) {
        return Ok(found);
    }
    let looked: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
    Err(Error::NoRuntime {
        looked: looked.join(", "),
    })
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
        })
        .collect();
    found.sort();
    found.pop()
}
