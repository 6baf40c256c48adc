//! `mouthpiece window`: the window of `mouthpiece serve --preview`, which starts
//! it and sends it pictures.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use mouthpiece::pool::{Frame, FramePool, Size};
use mouthpiece::ring::{Next, Reader, Writer, ring};
use mouthpiece::run::preview::{INTERRUPT, SHOWN, receive};
use opencv::core::{CV_8UC1, Mat, Point, Scalar, Size as CvSize, Vec3b, set_num_threads};
use opencv::prelude::*;
use opencv::{highgui, imgproc};

/// Pictures: one that comes in, one that waits, one that is shown.
const PICTURES: usize = 3;
/// How long to wait for a picture before the keys are looked at again.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the window may take to close once the server has ended.
const CLOSING: Duration = Duration::from_secs(2);

/// Height of the line of figures, its margin and its base line from above, in
/// pixels.
const STRIP: (i32, i32, i32) = (28, 12, 19);
/// Letters are drawn this many times larger: OpenCV's own are thin and rough.
const FINER: i32 = 4;
/// Size of the letters, as OpenCV counts it.
const LETTERS: f64 = 0.46;

/// A picture and its line of figures.
type Sheet = (Frame, String);

/// Shows pictures until the server ends, the window is closed, or `q`
/// is pressed in it.
pub fn run(title: &str) -> anyhow::Result<()> {
    set_num_threads(1)?;
    let (sheets_in, sheets) = ring(1);
    thread::Builder::new()
        .name("pictures".into())
        .spawn(move || take_in(sheets_in))?;
    show(&sheets, title)
}

/// Takes in what the server sends, as fast as it comes.
fn take_in(sheets: Writer<io::Result<Sheet>>) {
    let mut server = io::stdin().lock();
    let mut pool: Option<FramePool> = None;
    let mut blank = |size: Size| {
        // Another avatar may have another size.
        let fits = pool.take().filter(|pool| pool.size() == size);
        let pool = pool.insert(fits.unwrap_or_else(|| FramePool::new(PICTURES, size)));
        pool.take(Duration::ZERO)
            .expect("others hold two of the three")
    };
    loop {
        let sheet = match receive(&mut server, &mut blank) {
            Ok(Some(sheet)) => Ok(sheet),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        let failed = sheet.is_err();
        // An older one, for which the window had no time.
        drop(sheets.push(sheet));
        if failed {
            break;
        }
    }
    drop(sheets); // The window closes, unless it hangs on its display.
    thread::sleep(CLOSING);
    std::process::abort();
}

fn show(sheets: &Reader<io::Result<Sheet>>, title: &str) -> anyhow::Result<()> {
    highgui::named_window(title, highgui::WINDOW_AUTOSIZE | highgui::WINDOW_GUI_NORMAL)?;
    let mut picture = Mat::default();
    let mut figures = Figures::default();
    let (mut with_figures, mut shown) = (true, false);
    loop {
        match sheets.next(PATIENCE) {
            Next::Item(sheet) => {
                let (frame, line) = sheet?;
                draw(&frame, &mut picture)?;
                if with_figures {
                    figures.draw(&line, &mut picture)?;
                }
                highgui::imshow(title, &picture)?;
            }
            Next::Timeout => {}
            Next::Closed => break,
        }
        match u8::try_from(highgui::wait_key(1)? & 0xff).map(char::from) {
            Ok('h') => with_figures = !with_figures,
            Ok('i') => say(INTERRUPT),
            Ok('q') => break,
            _ => {}
        }
        if picture.empty() {
            continue;
        }
        if !shown {
            shown = true;
            say(SHOWN);
        }
        // Some backends answer with an error once it is closed by its cross.
        if highgui::get_window_property(title, highgui::WND_PROP_VISIBLE).unwrap_or(0.0) < 1.0 {
            break;
        }
    }
    Ok(())
}

/// Tells the server a word.
fn say(word: &str) {
    // A server that doesn't listen has ended, which its pictures tell as well.
    let _gone = writeln!(io::stdout(), "{word}");
}

fn draw(frame: &Frame, picture: &mut Mat) -> opencv::Result<()> {
    let size = frame.size();
    let rows = (size.height * 3 / 2) as i32;
    let i420 = Mat::new_rows_cols_with_data(rows, size.width as i32, frame.i420())?;
    imgproc::cvt_color_def(&i420, picture, imgproc::COLOR_YUV2BGR_I420)
}

/// The line of figures as it lies on the picture.
#[derive(Default)]
struct Figures {
    line: String,
    /// How much ink is where, 0 to 255.
    ink: Mat,
}

impl Figures {
    /// Draws `line` along the lower edge, light on the darkened picture.
    fn draw(&mut self, line: &str, picture: &mut Mat) -> opencv::Result<()> {
        if self.line != line || self.ink.cols() != picture.cols() {
            line.clone_into(&mut self.line);
            self.set(picture.cols())?;
        }
        let top = picture.rows() - self.ink.rows();
        for row in 0..self.ink.rows() {
            if top + row < 0 {
                continue; // A picture lower than its figures.
            }
            let ink = self.ink.at_row::<u8>(row)?;
            for (pixel, ink) in picture.at_row_mut::<Vec3b>(top + row)?.iter_mut().zip(ink) {
                let ink = u32::from(*ink);
                for tone in &mut pixel.0 {
                    let under = u32::from(*tone) * 3 / 10;
                    *tone = ((under * (255 - ink) + 240 * ink) / 255) as u8;
                }
            }
        }
        Ok(())
    }

    /// Sets the line, as wide as the picture at most.
    fn set(&mut self, width: i32) -> opencv::Result<()> {
        const FONT: i32 = imgproc::FONT_HERSHEY_SIMPLEX;
        let (height, margin, base) = STRIP;
        let (mut letters, thick) = (LETTERS * f64::from(FINER), FINER + 1);
        let wide = imgproc::get_text_size(&self.line, FONT, letters, thick, &mut 0)?.width;
        let room = (width - 2 * margin) * FINER;
        if wide > room {
            letters *= f64::from(room.max(1)) / f64::from(wide);
        }
        let (rows, cols) = (height * FINER, width * FINER);
        let mut large = Mat::new_rows_cols_with_default(rows, cols, CV_8UC1, Scalar::all(0.0))?;
        imgproc::put_text(
            &mut large,
            &self.line,
            Point::new(margin * FINER, base * FINER),
            FONT,
            letters,
            Scalar::all(255.0),
            thick,
            imgproc::LINE_AA,
            false,
        )?;
        let size = CvSize::new(width, height);
        imgproc::resize(&large, &mut self.ink, size, 0.0, 0.0, imgproc::INTER_AREA)
    }
}
