//! Files that are no model: each a sentence that says what was found and what to
//! do. And files that are one, imported.

use std::fs;
use std::path::{Path, PathBuf};

use mouthpiece::avatar::Avatar;
use mouthpiece::model::{Bundle, ColourOrder, FaceOrder, Family, Returns};
use mouthpiece::run::adopt::{Adopted, Job, adopt};
use mouthpiece::run::library;
use mouthpiece::stage::lipsync::{Config, Provider, Runtime};

use crate::standins::{onnx, runtime};

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
}

/// Imports into `models`.
fn import(
    models: &Path,
    face: &Path,
    audio: Option<&Path>,
    size: Option<usize>,
) -> Result<Adopted, String> {
    let avatar = Avatar::open(&assets().join("avatars/ava")).expect("the avatar");
    let job = Job {
        face,
        audio,
        id: "mine",
        models,
        size,
        licence: "CC0-1.0",
        avatar: &avatar,
        speech: &assets().join("speech/welcome.flac"),
    };
    adopt(&job, &runtime(), &mut |_, _, _| {}).map_err(|e| e.to_string())
}

/// Imports, and expects it to work.
fn imported(face: &str, audio: Option<&str>) -> (tempfile::TempDir, Adopted) {
    let models = tempfile::tempdir().expect("a folder");
    let audio = audio.map(onnx);
    let adopted = import(models.path(), &onnx(face), audio.as_deref(), None);
    let adopted = adopted.unwrap_or_else(|e| panic!("{face}: {e}"));
    let bundle = Bundle::open(&models.path().join("mine")).expect("a bundle");
    assert_eq!(bundle.manifest, adopted.manifest);
    library::load(&bundle, &runtime()).expect("it loads where it lies");
    assert!(models.path().join("mine/README.md").exists());
    (models, adopted)
}

#[test]
fn what_is_no_model_is_refused_in_a_sentence_and_leaves_nothing() {
    let models = tempfile::tempdir().expect("a folder");
    let broken = [
        ("truncated", vec!["cut short", "Copy it again"]),
        (
            "text",
            vec!["text file", "\"This is a letter", "ONNX file itself"],
        ),
        ("no-weights", vec!["gone.bin", "copy that file"]),
        ("short-weights", vec!["short.bin", "cut short"]),
        ("int64", vec!["mel_spectrogram", "i64", "32-bit floats"]),
        ("ranks", vec!["[1, 6, 5, 96, 96]", "four dimensions"]),
        ("batch", vec!["fixed to 16", "a batch of 1"]),
        ("open", vec!["left open", "--size"]),
        ("nan", vec!["not a number", "export it anew"]),
        ("fails-later", vec!["not a number"]),
        ("other", vec!["x f32 [1, 3]", "[1, 6, S, S]"]),
        ("ultralight-wenet", vec!["WeNet", "--audio"]),
        ("not there", vec!["can't be read"]),
    ];
    for (name, words) in broken {
        let path = onnx(name);
        let error = import(models.path(), &path, None, None).err();
        let error = error.unwrap_or_else(|| panic!("{name} was taken"));
        let file = format!("{name}.onnx");
        for word in words.iter().copied().chain([file.as_str()]) {
            assert!(error.contains(word), "{name}: {error}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
    let front = onnx("hubert");
    let error = import(models.path(), &onnx("ultralight-wenet"), Some(&front), None);
    let error = error.err().expect("another front end");
    assert!(error.contains("[1, 1, 67, 80]"), "{error}");
    let error = import(models.path(), &onnx("wav2lip-96"), Some(&front), None);
    assert!(
        error
            .err()
            .expect("no front end")
            .contains("leave --audio out")
    );
    let left = fs::read_dir(models.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing half-made lies where bundles lie");
}

#[test]
fn the_order_of_pictures_and_colours_is_told_by_a_known_face() {
    for (name, face, colour) in [
        (
            "faithful-masked-reference",
            FaceOrder::MaskedReference,
            ColourOrder::Bgr,
        ),
        (
            "faithful-reference-masked",
            FaceOrder::ReferenceMasked,
            ColourOrder::Bgr,
        ),
        ("faithful-rgb", FaceOrder::MaskedReference, ColourOrder::Rgb),
    ] {
        let (_models, adopted) = imported(name, None);
        let manifest = adopted.manifest;
        assert_eq!(
            (manifest.face, manifest.colour),
            (Some(face), colour),
            "{name}"
        );
        assert!(
            adopted.told.iter().all(|told| told.contains("told")),
            "{name}"
        );
    }
    let (_models, adopted) = imported("wav2lip-96", None);
    assert!(
        adopted.told[0].contains("Is it trained?"),
        "{:?}",
        adopted.told
    );
}

#[test]
fn the_bundled_model_is_told_as_it_is() {
    let models = tempfile::tempdir().expect("a folder");
    let folder = assets().join("models/mouthpiece-256");
    let adopted = import(models.path(), &folder.join("model.onnx"), None, None).expect("taken");
    let bundled = Bundle::open(&folder).expect("a bundle").manifest;
    assert_eq!(adopted.manifest.face_order(), bundled.face_order());
    assert_eq!(adopted.manifest.colour, bundled.colour);
    assert_eq!(adopted.manifest.returns, Returns::Residual);
}

#[test]
fn families_are_told_by_their_tensors_whatever_the_names() {
    for (face, audio, family, size, look_ahead) in [
        ("wav2lip-128", None, Family::Wav2lip, 128, 213.0),
        ("wav2lip-288", None, Family::Wav2lip, 288, 213.0),
        (
            "ultralight-hubert",
            Some("hubert-mask"),
            Family::UltralightHubert,
            160,
            325.0,
        ),
        (
            "ultralight-hubert",
            Some("hubert-16000"),
            Family::UltralightHubert,
            160,
            340.0,
        ),
        (
            "ultralight-hubert",
            Some("feather"),
            Family::Feathertalk,
            160,
            325.0,
        ),
        (
            "feathertalk-144",
            Some("feather"),
            Family::Feathertalk,
            144,
            565.0,
        ),
        (
            "ultralight-wenet",
            Some("wenet"),
            Family::UltralightWenet,
            160,
            515.0,
        ),
    ] {
        let (_models, adopted) = imported(face, audio);
        assert_eq!(adopted.manifest.family, family, "{face}");
        assert_eq!(adopted.found.size, size, "{face}");
        assert_eq!(adopted.manifest.look_ahead_ms, look_ahead, "{face}");
        assert!(adopted.speed.wall.as_nanos() > 0);
    }
}

#[test]
fn weights_beside_the_file_come_along_and_an_open_size_is_said() {
    let (models, _) = imported("outside", None);
    assert!(models.path().join("mine/outside.bin").exists());
    let again = import(models.path(), &onnx("wav2lip-96"), None, None);
    assert!(
        again
            .err()
            .expect("taken already")
            .contains("there already")
    );
    let models = tempfile::tempdir().expect("a folder");
    let adopted = import(models.path(), &onnx("open"), None, Some(96)).expect("said");
    assert_eq!(adopted.manifest.size, Some(96));
}

#[test]
fn a_provider_that_the_library_lacks_is_named_with_what_to_install() {
    for (provider, mend) in [
        (Provider::Cuda, "onnxruntime-gpu"),
        (Provider::Tensorrt, "TensorRT"),
        (Provider::Openvino, "onnxruntime-openvino"),
        (Provider::Coreml, "macOS"),
        (Provider::Directml, "Windows"),
    ] {
        let mut config = Config {
            provider,
            ..Config::default()
        };
        let error = Runtime::load(&config).expect_err("it has the CPU only");
        let error = error.to_string();
        let key = format!("models.provider is {provider}");
        for word in [&key, mend, "libonnxruntime", "models.provider_fallback"] {
            assert!(error.contains(word), "{error}");
        }
        config.provider_fallback = true;
        let runtime = Runtime::load(&config).expect("the CPU will do");
        let bundle = Bundle::open(&assets().join("models/mouthpiece-256")).expect("a bundle");
        library::load(&bundle, &runtime).expect("it runs");
    }
}
