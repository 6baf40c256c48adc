//! What the forms may have, and what is passed on to the program that imports.

use utoipa::ToSchema;

use crate::run::import::colour;
use crate::run::imports::{FILE, Kind, SECOND};

/// A form with a video or a photo.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is read field by field, by `super::receive`")]
pub(super) struct AvatarForm {
    id: String,
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
    name: Option<String>,
    /// Rows of the picture, 64 to 2160.
    height: Option<u32>,
    /// Which of the faces, from the left, 1 to 16.
    face: Option<u32>,
    /// Seconds of the video that are left out before.
    start: Option<f64>,
    /// Seconds of it that are taken.
    seconds: Option<u32>,
    /// The colour that is transparent: green, blue or #rrggbb.
    key: Option<String>,
}

/// A form with a model.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is read field by field, by `super::receive`")]
pub(super) struct ModelForm {
    id: String,
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
    /// Another network, which hears for it.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    audio: Option<String>,
    /// The side of its face in pixels, 32 to 1024.
    size: Option<u32>,
    licence: Option<String>,
}

/// A field, the option of the program that imports, and what it may be.
pub(super) type Choice = (&'static str, &'static str, &'static str, fn(&str) -> bool);

pub(super) const OPTIONS: [Choice; 8] = [
    ("name", "--name", "up to 100 characters", |v| {
        v.chars().count() <= 100 && !v.contains(char::is_control)
    }),
    ("height", "--height", "64 to 2160 rows", |v| {
        within(v, 64.0, 2160.0, true)
    }),
    ("face", "--face", "1 to 16", |v| within(v, 1.0, 16.0, true)),
    ("start", "--start", "0 to 86400 seconds", |v| {
        within(v, 0.0, 86_400.0, false)
    }),
    ("seconds", "--seconds", "1 to 86400 whole seconds", |v| {
        within(v, 1.0, 86_400.0, true)
    }),
    ("key", "--key", "green, blue or #rrggbb", |v| {
        colour(v).is_some()
    }),
    ("size", "--size", "32 to 1024 pixels", |v| {
        within(v, 32.0, 1_024.0, true)
    }),
    ("licence", "--licence", "up to 100 characters", |v| {
        v.chars().count() <= 100 && !v.contains(char::is_control)
    }),
];

fn within(value: &str, least: f64, most: f64, whole: bool) -> bool {
    let number = match whole {
        true => value.parse::<u32>().ok().map(f64::from),
        false => value.parse().ok(),
    };
    number.is_some_and(|number| (least..=most).contains(&number))
}

/// The fields that a form may have.
pub(super) fn fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Avatar => &[
            "id", FILE, "name", "height", "face", "start", "seconds", "key",
        ],
        Kind::Model => &["id", FILE, SECOND, "size", "licence"],
    }
}

pub(super) fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Avatar => {
            "Send a form with an id and a video or a photo: curl -F id=anna -F file=@anna.mp4 …/v1/avatars"
        }
        Kind::Model => {
            "Send a form with an id and an ONNX file: curl -F id=mine -F file=@wav2lip.onnx …/v1/models, and -F audio=@hubert.onnx where another network hears for it"
        }
    }
}
