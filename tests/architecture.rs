//! A module imports only what this table allows: words, then stages, then runs,
//! then control, then the commands. Stages don't know each other.

use std::fs;
use std::path::{Path, PathBuf};

/// From what travels, through the stages, to the runs.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("bounds", &[]),
    ("media", &[]),
    ("ring", &[]),
    ("toml_text", &[]),
    ("events", &[]),
    ("stats", &["events"]),
    ("process", &[]),
    ("gpu", &[]),
    ("program", &["native"]),
    ("memory", &["bounds", "process"]),
    ("pool", &[]),
    ("scale", &[]),
    ("native", &["media", "pool"]),
    ("hub", &["media"]),
    ("model", &["toml_text"]),
    ("avatar", &["media", "pool", "scale", "toml_text"]),
    ("remote", &[]),
    ("stage/chat", &["bounds", "remote"]),
    ("stage/tts", &["bounds", "remote"]),
    ("stage/audio", &["events", "media", "ring", "stats"]),
    ("stage/mel", &["media", "model"]),
    ("stage/voice", &["bounds", "media"]),
    ("stage/lipsync", &["bounds", "media", "model", "native"]),
    ("stage/compose", &["avatar", "model", "pool", "scale"]),
    ("stage/encode", &["hub", "media", "native", "pool"]),
    ("stage/still", &["pool"]),
    ("stage/send", &["bounds", "events", "hub", "media", "stats"]),
    ("stage/write", &["media", "pool"]),
    (
        "run",
        &[
            "avatar",
            "bounds",
            "events",
            "gpu",
            "hub",
            "media",
            "memory",
            "model",
            "native",
            "pool",
            "process",
            "ring",
            "run",
            "stage",
            "stats",
            "toml_text",
        ],
    ),
    (
        "control",
        &[
            "avatar", "bounds", "control", "events", "gpu", "hub", "media", "memory", "model",
            "native", "pool", "process", "remote", "run", "stage", "stats",
        ],
    ),
    (
        "config",
        &["control", "memory", "run", "stage", "toml_text"],
    ),
];

#[test]
fn imports_follow_the_data() {
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_IMPORT {
        for file in files(module) {
            let text = fs::read_to_string(&file).expect("readable source");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let inside = module.split('/').next_back().expect("a name");
            for path in imports(code) {
                let mut parts = path.split("::");
                let first = parts.next().unwrap_or_default();
                // A stage may use itself by its whole path.
                let itself =
                    first == "stage" && parts.next() == Some(inside) && module.contains('/');
                if !allowed.contains(&first) && first != inside && !itself {
                    wrong.push(format!("{}: crate::{path}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_row() {
    let rows: Vec<_> = MAY_IMPORT.iter().map(|(module, _)| *module).collect();
    for folder in ["src", "src/stage"] {
        for entry in fs::read_dir(folder).expect("the source") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy();
            let module = match folder {
                "src" => name.to_string(),
                _ => format!("stage/{name}"),
            };
            let map = [
                "lib",
                "main",
                "mod",
                "bin",
                "commands",
                "stage",
                "stage/mod",
            ];
            assert!(
                map.contains(&module.as_str()) || rows.contains(&module.as_str()),
                "{module} has no row"
            );
        }
    }
}

/// A handler has its route by its description (`routes!`), so that `/openapi.json` has
/// all of them. `.route` would take one without, and does for the routes of other
/// programs: they are off unless `http.compat` names them, and described by those.
#[test]
fn no_route_is_without_its_description() {
    let mut bare = Vec::new();
    for file in files("control") {
        if file.starts_with("src/control/compat") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("readable source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for call in [".route(", ".route_service(", ".nest_service("] {
            if code.contains(call) {
                bare.push(format!("{}: {call}", file.display()));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}

/// What stands behind every `crate::` in `code`, groups taken apart one level.
fn imports(code: &str) -> Vec<String> {
    let lines = code.lines().map(str::trim).filter(|l| !l.starts_with("//"));
    let code = lines.collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split('}').next().unwrap_or_default();
                found.extend(group.split(',').map(|p| word(p.trim())));
            }
            None => found.push(word(rest)),
        }
    }
    found
}

fn word(path: &str) -> String {
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    path[..end.unwrap_or(path.len())].to_owned()
}

fn files(module: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let file = Path::new("src").join(format!("{module}.rs"));
    if file.exists() {
        found.push(file);
    }
    let mut folders = vec![Path::new("src").join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().ends_with("tests.rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{module} is not there");
    found
}
