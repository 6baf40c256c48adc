//! What an ONNX file says of itself before it is loaded: whether it is one,
//! whether it is whole, and which other files hold its weights.
//!
//! The format is a tree of length-delimited fields (protobuf; numbers from
//! `onnx.proto`). It is walked by seeking, so that a file of gigabytes costs
//! nothing, and a file that was cut short is told from one that is no network:
//! ONNX Runtime says "Protobuf parsing failed" of both.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// What is wrong with a file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    /// It is empty.
    #[error("it is empty: copy it again")]
    Empty,
    /// It is a text.
    #[error("it is a text file that begins with {begins:?}: {mend}")]
    Text {
        /// Its first words.
        begins: String,
        /// What to do.
        mend: &'static str,
    },
    /// It is something else.
    #[error(
        "it is no ONNX file (PyTorch's .pth and .pt are none either): export the network to ONNX, and give that file"
    )]
    NoOnnx,
    /// Its end is missing.
    #[error("it is cut short: {missing} bytes are missing at its end. Copy it again, whole")]
    Short {
        /// How many.
        missing: u64,
    },
    /// Weights lie in a file that isn't there.
    #[error("its weights are in {0}, which is not beside it: copy that file to the same folder")]
    NoWeights(PathBuf),
    /// Weights lie in a file whose end is missing.
    #[error(
        "its weights in {file} are cut short: {missing} bytes are missing at their end. Copy that file again, whole"
    )]
    ShortWeights {
        /// The file.
        file: PathBuf,
        /// How many.
        missing: u64,
    },
    /// Weights lie in a file elsewhere.
    #[error(
        "its weights are in {0}, outside of its folder, where nothing is read: save the network anew with its weights beside it, or inside"
    )]
    Elsewhere(PathBuf),
}

/// The files with weights that belong to the network `path`, as it names them:
/// relative to its folder, each once, and each there.
///
/// # Errors
///
/// When the file is no ONNX file, or it or its weights aren't whole.
pub fn weights(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut walk = Walk {
        file: BufReader::new(file),
        at: 0,
        length,
        found: Vec::new(),
    };
    walk.look_at_the_start()?;
    walk.model()?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for (weights, end) in &walk.found {
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !weights.components().all(inside) {
            return Err(Problem::Elsewhere(weights.clone()));
        }
        let file = std::fs::metadata(folder.join(weights)).ok();
        let Some(file) = file.filter(std::fs::Metadata::is_file) else {
            return Err(Problem::NoWeights(weights.clone()));
        };
        if file.len() < *end {
            return Err(Problem::ShortWeights {
                file: weights.clone(),
                missing: end - file.len(),
            });
        }
    }
    Ok(walk.found.into_iter().map(|(file, _)| file).collect())
}

/// Bytes at the start that are looked at, and a line of them that is told.
const START: u64 = 512;
const LINE: usize = 40;
/// Longest name of a file, and deepest graph in a graph: more is no network.
const MOST_NAME: u64 = 4_096;
const MOST_DEPTH: usize = 16;

struct Walk {
    file: BufReader<File>,
    at: u64,
    length: u64,
    /// Files with weights, and how long each must be at least.
    found: Vec<(PathBuf, u64)>,
}

/// One field: its number, and where its content ends. Numbers have no content.
struct Field {
    number: u64,
    content: Option<u64>,
}

impl Walk {
    fn look_at_the_start(&mut self) -> Result<(), Problem> {
        let mut start = Vec::new();
        self.file.by_ref().take(START).read_to_end(&mut start)?;
        self.file.seek(SeekFrom::Start(0))?;
        if start.is_empty() {
            return Err(Problem::Empty);
        }
        let text = String::from_utf8_lossy(&start);
        let control = |c: char| c.is_control() && !c.is_whitespace();
        // The last character may have been cut in two.
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        if whole.contains(char::REPLACEMENT_CHARACTER) || whole.contains(control) {
            return Ok(());
        }
        let line = whole.trim_start().lines().next().unwrap_or_default();
        Err(Problem::Text {
            begins: line.chars().take(LINE).collect(),
            mend: if line.starts_with("version https://git-lfs") {
                "it stands for a file that Git LFS keeps; run `git lfs pull` where it came from"
            } else {
                "give the ONNX file itself"
            },
        })
    }

    /// ModelProto: 1 is the version of the format, 7 the graph.
    fn model(&mut self) -> Result<(), Problem> {
        let mut graph = false;
        while self.at < self.length {
            let field = self.field(self.length)?;
            // These are all that there are in a model.
            if !(1..=26).contains(&field.number) {
                return Err(Problem::NoOnnx);
            }
            match (field.number, field.content) {
                (7, Some(end)) => {
                    graph = true;
                    self.graph(end, 0)?;
                }
                (_, Some(end)) => self.skip_to(end)?,
                _ => {}
            }
        }
        if graph { Ok(()) } else { Err(Problem::NoOnnx) }
    }

    /// GraphProto: 1 is a node, 5 a tensor of weights.
    fn graph(&mut self, end: u64, depth: usize) -> Result<(), Problem> {
        if depth > MOST_DEPTH {
            return Err(Problem::NoOnnx);
        }
        self.each(end, |walk, number, end| match number {
            1 => walk.each(end, |walk, number, end| match number {
                5 => walk.attribute(end, depth),
                _ => walk.skip_to(end),
            }),
            5 => walk.tensor(end),
            _ => walk.skip_to(end),
        })
    }

    /// AttributeProto: 5 and 10 are tensors, 6 and 11 graphs.
    fn attribute(&mut self, end: u64, depth: usize) -> Result<(), Problem> {
        self.each(end, |walk, number, end| match number {
            5 | 10 => walk.tensor(end),
            6 | 11 => walk.graph(end, depth + 1),
            _ => walk.skip_to(end),
        })
    }

    /// TensorProto: 13 is a pair of words about the weights' file: its `location`,
    /// and the `offset` and the `length` of the tensor's in it.
    fn tensor(&mut self, end: u64) -> Result<(), Problem> {
        let (mut location, mut weights_end) = (None, 0_u64);
        self.each(end, |walk, number, end| {
            if number != 13 {
                return walk.skip_to(end);
            }
            let (mut key, mut value) = (Vec::new(), Vec::new());
            walk.each(end, |walk, number, end| match number {
                1 => walk.bytes(end, &mut key),
                2 => walk.bytes(end, &mut value),
                _ => walk.skip_to(end),
            })?;
            let value = String::from_utf8(value).map_err(|_| Problem::NoOnnx)?;
            match key.as_slice() {
                b"location" => location = Some(PathBuf::from(value)),
                b"offset" | b"length" => {
                    let bytes: u64 = value.parse().map_err(|_| Problem::NoOnnx)?;
                    weights_end = weights_end.saturating_add(bytes);
                }
                _ => {}
            }
            Ok(())
        })?;
        let Some(location) = location else {
            return Ok(());
        };
        match self.found.iter_mut().find(|(file, _)| *file == location) {
            Some((_, end)) => *end = weights_end.max(*end),
            None => self.found.push((location, weights_end)),
        }
        Ok(())
    }

    /// Calls `each` for every field with content up to `end`.
    fn each(
        &mut self,
        end: u64,
        mut each: impl FnMut(&mut Self, u64, u64) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        while self.at < end {
            let field = self.field(end)?;
            if let Some(inner) = field.content {
                each(self, field.number, inner)?;
            }
        }
        Ok(())
    }

    /// Reads the head of the next field, which must not go beyond `end`.
    fn field(&mut self, end: u64) -> Result<Field, Problem> {
        let tag = self.varint()?;
        let number = tag >> 3;
        let content = match tag & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => Some(self.at + 8),
            2 => Some(self.varint()?.checked_add(self.at).ok_or(Problem::NoOnnx)?),
            5 => Some(self.at + 4),
            _ => return Err(Problem::NoOnnx),
        };
        match content {
            // Only the whole file can be short of what it says; a part that
            // ends after the part that it is in is nonsense.
            Some(inner) if inner > end && end == self.length => Err(Problem::Short {
                missing: inner - end,
            }),
            Some(inner) if inner > end => Err(Problem::NoOnnx),
            _ if number == 0 => Err(Problem::NoOnnx),
            // A number of fixed size has no content to look into.
            Some(inner) if tag & 7 != 2 => {
                self.skip_to(inner)?;
                Ok(Field {
                    number,
                    content: None,
                })
            }
            content => Ok(Field { number, content }),
        }
    }

    fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            if self.file.read(&mut byte)? == 0 {
                return Err(Problem::Short { missing: 1 });
            }
            self.at += 1;
            value |= u64::from(byte[0] & 127) << shift;
            if byte[0] < 128 {
                return Ok(value);
            }
        }
        Err(Problem::NoOnnx)
    }

    fn bytes(&mut self, end: u64, into: &mut Vec<u8>) -> Result<(), Problem> {
        if end - self.at > MOST_NAME {
            return Err(Problem::NoOnnx);
        }
        self.file.by_ref().take(end - self.at).read_to_end(into)?;
        self.at = end;
        Ok(())
    }

    fn skip_to(&mut self, end: u64) -> Result<(), Problem> {
        self.file.seek_relative((end - self.at) as i64)?;
        self.at = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn look(bytes: &[u8]) -> Result<Vec<PathBuf>, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        weights(file.path()).map_err(|e| e.to_string())
    }

    /// A field with content, shorter than 128 bytes.
    fn part(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        [&[number << 3 | 2, length], content].concat()
    }

    /// A model whose one tensor has the bytes 4 to 7 of `file` for weights.
    fn with_weights_in(file: &str) -> Vec<u8> {
        let word = |key: &[u8], value: &[u8]| part(13, &[part(1, key), part(2, value)].concat());
        let place = word(b"location", file.as_bytes());
        let tensor = [
            part(8, b"w"),
            place,
            word(b"offset", b"4"),
            word(b"length", b"3"),
        ]
        .concat();
        [vec![8, 8], part(7, &part(5, &tensor))].concat()
    }

    #[test]
    fn what_is_no_network_is_told_by_what_it_is() {
        let said = |bytes: &[u8]| look(bytes).expect_err("refused");
        assert!(said(b"").contains("empty"));
        assert!(said(b"Dear Sir or Madam,\nno network").contains("\"Dear Sir or Madam,\""));
        assert!(
            said(b"version https://git-lfs.github.com/spec/v1\noid 1").contains("git lfs pull")
        );
        assert!(said(&[0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0]).contains("no ONNX file"));
        assert!(said(&[0; 64]).contains("no ONNX file"));
    }

    #[test]
    fn a_file_that_is_cut_short_is_told_wherever_it_ends() {
        let whole = [vec![8, 8], part(7, &part(2, b"graph"))].concat();
        assert_eq!(look(&whole), Ok(Vec::new()));
        let said = look(&whole[..whole.len() - 3]).expect_err("cut");
        assert!(said.contains("3 bytes are missing"), "{said}");
    }

    #[test]
    fn weights_in_another_file_are_named() {
        let said = look(&with_weights_in("not there.bin")).expect_err("missing");
        assert!(
            said.contains("not there.bin") && said.contains("copy"),
            "{said}"
        );
        for elsewhere in ["../secret", "/etc/passwd"] {
            let said = look(&with_weights_in(elsewhere)).expect_err("elsewhere");
            assert!(said.contains("outside of its folder"), "{said}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("w.bin"), b"weights").expect("written");
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, with_weights_in("w.bin")).expect("written");
        assert_eq!(weights(&path).expect("whole"), [PathBuf::from("w.bin")]);
        std::fs::write(folder.path().join("w.bin"), b"weigh").expect("written");
        let said = weights(&path).expect_err("cut").to_string();
        assert!(
            said.contains("w.bin") && said.contains("2 bytes are missing"),
            "{said}"
        );
    }
}
