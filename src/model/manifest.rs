//! What `model.toml` says: which family the networks are of, and what their
//! tensors' shapes can't tell.

use serde::{Deserialize, Serialize};

/// The kind of a model: which tensors it takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Mel `[n,1,80,16]` and face `[n,6,S,S]` to `[n,3,S,S]`, values 0–1
    /// (Prajwal et al., "A Lip Sync Expert Is All You Need", 2020).
    Wav2lip,
    /// Face `[1,6,S,S]` and features of HuBERT, 2 x 1024 for each of 25 frames a
    /// second, to `[1,3,S,S]` (github.com/anliyuan/Ultralight-Digital-Human).
    UltralightHubert,
    /// Likewise with features of WeNet's encoder, 16 x 512 twenty times a second.
    UltralightWenet,
    /// Likewise with FeatherHuBERT, which gives what HuBERT gives for a fraction
    /// of the work (github.com/anliyuan/FeatherTalk).
    Feathertalk,
}

impl Family {
    /// Its name in `model.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav2lip => "wav2lip",
            Self::UltralightHubert => "ultralight-hubert",
            Self::UltralightWenet => "ultralight-wenet",
            Self::Feathertalk => "feathertalk",
        }
    }

    /// Whether a second network hears for the one that draws.
    pub fn has_front_end(self) -> bool {
        self != Self::Wav2lip
    }

    /// Whether its code averages pixels where it makes a picture smaller (OpenCV's
    /// `INTER_AREA`), and doesn't take some of them (`INTER_LINEAR`).
    pub fn averages(self) -> bool {
        self != Self::Wav2lip
    }

    /// The order of the two pictures in the face tensor that its code has.
    pub fn usual_order(self) -> FaceOrder {
        match self {
            Self::Wav2lip => FaceOrder::MaskedReference,
            _ => FaceOrder::ReferenceMasked,
        }
    }

    /// The part of the face that it sees, as its own detector or landmarks cut it.
    fn usual_box(self) -> FaceBox {
        match self {
            // From the brows to just under the chin.
            Self::Wav2lip => FaceBox {
                side: 2.6,
                mouth: [0.5, 0.72],
            },
            // As wide as the face is at the ears, and as high, from the corner
            // of the eye down: 168 pixels, of which 4 at each border are left out.
            _ => FaceBox {
                side: 2.0 * 160.0 / 168.0,
                mouth: [0.5, 0.5],
            },
        }
    }

    /// The part that is black in one of the two pictures, of `side` pixels.
    fn usual_mask(self, side: usize) -> Mask {
        match self {
            Self::Wav2lip => Mask {
                columns: [0, side],
                rows: [side / 2, side],
            },
            // x = 5, y = 5, 150 wide and 145 high in 160 pixels.
            _ => {
                let at = |n: usize| (n * side + 80) / 160;
                Mask {
                    columns: [at(5), at(5) + at(150)],
                    rows: [at(5), at(5) + at(145)],
                }
            }
        }
    }
}

/// The order of the colour planes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Blue first, as OpenCV reads pictures.
    #[default]
    Bgr,
    /// Red first.
    Rgb,
}

/// The order of the two pictures in the face tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaceOrder {
    /// The half-black picture first, as Wav2Lip has it.
    MaskedReference,
    /// The whole picture first, as Ultralight-Digital-Human has it.
    ReferenceMasked,
}

/// What the output shows where the model changed nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Returns {
    /// A face painted anew: it is colour-matched and feathered in.
    #[default]
    Face,
    /// The reference, to the last bit: only the difference is drawn.
    Residual,
}

/// How much of the face a model looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Both pictures, all of them.
    #[default]
    Face,
    /// Of the whole picture the part that it edits, and nothing else: the rest isn't
    /// even written for it.
    Edit,
}

/// The part of the face that a model sees, in units of the distance from eyes
/// to mouth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceBox {
    /// Length of the square's side.
    pub side: f32,
    /// Where the mouth's middle lies in the square, 0–1 from left and top.
    pub mouth: [f32; 2],
}

/// The part of one of the two pictures that is black, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// First column, and the one after the last.
    pub columns: [usize; 2],
    /// First row, and the one after the last.
    pub rows: [usize; 2],
}

/// The part of the output that is drawn, in pixels of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// First column, and the one after the last.
    pub columns: [usize; 2],
    /// First row, and the one after the last.
    pub rows: [usize; 2],
    /// Pixels at the border over which the drawing fades.
    pub fade: usize,
}

/// How the front end hears, for the families that have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audio {
    /// Steps of features that the face net sees, half of them before its frame:
    /// video frames with HuBERT, twentieths of a second with WeNet.
    pub window: usize,
    /// Milliseconds of sound before a frame that HuBERT hears with it.
    pub left_ms: usize,
    /// And after it. The sound is delayed by so much more.
    pub right_ms: usize,
    /// Frames for which HuBERT runs at once: more cost less CPU and more delay.
    pub frames: usize,
}

impl Default for Audio {
    /// The window of the published code, and the right context of its streaming
    /// demonstration.
    fn default() -> Self {
        Self {
            window: 8,
            left_ms: 400,
            right_ms: 160,
            frames: 1,
        }
    }
}

/// What `model.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What people call it.
    pub name: String,
    /// Which tensors it has.
    pub family: Family,
    /// Under which licence its weights are.
    #[serde(default)]
    pub licence: String,
    /// From a frame's time to the start of its window of mel, in milliseconds.
    #[serde(default)]
    pub mel_offset_ms: f64,
    /// How far ahead of a frame's time the model hears, in milliseconds. The
    /// sound is delayed by so much.
    pub look_ahead_ms: f64,
    /// Order of the colour planes.
    #[serde(default)]
    pub colour: ColourOrder,
    /// Order of the pictures in the face tensor. By default the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<FaceOrder>,
    /// What the output shows where nothing was changed.
    #[serde(default)]
    pub returns: Returns,
    /// How much of the face tensor is looked at.
    #[serde(default)]
    pub reads: Reads,
    /// S, which must be said where the file itself leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// The part of the face that the model sees. By default the family's.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub face_box: Option<FaceBox>,
    /// The part that is black in one of the pictures. By default the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// The part of the output that is drawn. By default the lower half, or what
    /// lies in the mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// How the front end hears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
}

/// Longest look-ahead: the sound waits for it, and so does whoever listens. It is
/// enough for WeNet's 365 ms and sixteen steps of features; queues of decoded
/// speech are as long.
pub const MOST_LOOK_AHEAD_MS: f64 = 800.0;

impl Manifest {
    /// Order of the pictures in the face tensor.
    pub fn face_order(&self) -> FaceOrder {
        self.face.unwrap_or(self.family.usual_order())
    }

    /// The part of the face that the model sees.
    pub fn face_box(&self) -> FaceBox {
        self.face_box.unwrap_or(self.family.usual_box())
    }

    /// The black part of a picture of `side` pixels.
    pub fn mask(&self, side: usize) -> Mask {
        self.mask.unwrap_or(self.family.usual_mask(side))
    }

    /// The part of an output of `side` pixels that is drawn.
    pub fn edit(&self, side: usize) -> Edit {
        self.edit.unwrap_or(match self.family {
            Family::Wav2lip => Edit {
                columns: [side / 10, side - side / 10],
                rows: [side / 2, side],
                fade: side / 10,
            },
            // From the tip of the nose down; all of it is painted anew.
            _ => Edit {
                columns: [side / 32, side - side / 32],
                rows: [side / 4, side - side / 32],
                fade: side / 10,
            },
        })
    }

    /// How the front end hears.
    pub fn audio(&self) -> Audio {
        self.audio.unwrap_or_default()
    }

    /// Refuses what can't be, whatever the networks are.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub(super) fn check(&self) -> Result<(), String> {
        const MOST: f64 = MOST_LOOK_AHEAD_MS;
        let offset = -1_000.0..=MOST;
        if !(0.0..=MOST).contains(&self.look_ahead_ms) || !offset.contains(&self.mel_offset_ms) {
            return Err(format!(
                "look_ahead_ms must lie between 0 and {MOST}, and mel_offset_ms between -1000 and {MOST}"
            ));
        }
        let FaceBox { side, mouth } = self.face_box();
        if !(0.5..=10.0).contains(&side) || mouth.iter().any(|m| !(0.0..=1.0).contains(m)) {
            return Err(
                "box.side must lie between 0.5 and 10 (eyes to mouth is 1), and box.mouth between 0 and 1".into(),
            );
        }
        if self.family.has_front_end() {
            if self.mel_offset_ms != 0.0 {
                return Err(format!(
                    "mel_offset_ms is for the family wav2lip; {} hears by audio.onnx: leave it out",
                    self.family.name()
                ));
            }
        } else if self.audio.is_some() {
            return Err(
                "[audio] is for families with audio.onnx; wav2lip has none: leave it out".into(),
            );
        }
        let Audio {
            window,
            left_ms,
            right_ms,
            frames,
        } = self.audio();
        if !(2..=32).contains(&window) || window % 2 > 0 || !(1..=10).contains(&frames) {
            return Err(
                "audio.window must be even and lie between 2 and 32, and audio.frames between 1 and 10".into(),
            );
        }
        if left_ms % 20 > 0 || left_ms.max(right_ms) > 5_000 {
            return Err(
                "audio.left_ms must be a multiple of 20, and it and audio.right_ms 5000 at most"
                    .into(),
            );
        }
        Ok(())
    }
}
