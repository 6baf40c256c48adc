//! The stand-ins, made once by `reference.py`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use mouthpiece::model::Bundle;
use mouthpiece::stage::lipsync::{self, Runtime};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The folder with the stand-ins and the cases. It is made anew when the
/// scripts that make it are others.
pub fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standins");
        let scripts = ["standins.py", "reference.py"].map(|name| {
            let path = Path::new(ROOT).join("tests/models").join(name);
            fs::read_to_string(path).expect("a script")
        });
        let stamp = folder.join("made-by");
        if fs::read_to_string(&stamp).is_ok_and(|by| by == scripts.concat()) {
            return folder;
        }
        let _none = fs::remove_dir_all(&folder);
        let python = Path::new(ROOT).join(".venv/bin/python");
        assert!(
            python.exists(),
            "stand-ins are made by the system tests' Python: run `make setup-tests` first"
        );
        let made = Command::new(python)
            .arg(Path::new(ROOT).join("tests/models/reference.py"))
            .arg(&folder)
            .status();
        assert!(made.expect("Python starts").success());
        fs::write(&stamp, scripts.concat()).expect("written");
        folder
    })
}

/// A network among the stand-ins.
pub fn onnx(name: &str) -> PathBuf {
    made().join("onnx").join(format!("{name}.onnx"))
}

/// ONNX Runtime, on the CPU.
pub fn runtime() -> Runtime {
    Runtime::load(&lipsync::Config::default()).expect("ONNX Runtime: make setup")
}

/// The bundle of a case.
pub fn case(name: &str) -> Bundle {
    Bundle::open(&made().join("cases").join(name)).expect("a case")
}

/// A bundle of the Wav2Lip family in `folder`, with the network `name`.
pub fn wav2lip(folder: &Path, name: &str) -> Bundle {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::copy(onnx(name), folder.join("model.onnx")).expect("a stand-in");
    let text = "name = \"stand-in\"\nfamily = \"wav2lip\"\nlook_ahead_ms = 213\n";
    fs::write(folder.join("model.toml"), text).expect("written");
    Bundle::open(&folder).expect("a bundle")
}

/// The 32-bit floats of a file.
pub fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (floats, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    floats.iter().map(|f| f32::from_le_bytes(*f)).collect()
}
