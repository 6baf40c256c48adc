//! Panels of curves over one time axis, as SVG.

use std::fmt::Write;

use super::minutes;

/// Points drawn of a curve: more than a screen has columns for it.
const POINTS: usize = 800;
/// Width of the picture and of what is left of and right of the curves.
const WIDTH: f64 = 1_120.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
/// Height of a panel's title, and between panels.
const TITLE: f64 = 30.0;
const BETWEEN: f64 = 14.0;

/// A curve.
pub struct Curve {
    /// What it is called.
    pub name: &'static str,
    /// Its class in the page's style.
    pub class: &'static str,
    /// Seconds and values.
    pub points: Vec<(f64, f64)>,
    /// Whether the highest of what falls into one column is shown, or the mean
    /// and between what it lies.
    pub highest: bool,
}

/// A straight line: its class, and both its ends in seconds and values.
pub struct Straight(pub &'static str, pub (f64, f64), pub (f64, f64));

/// Curves over each other.
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// Its unit.
    pub unit: &'static str,
    /// In pixels.
    pub height: f64,
    /// Whether the axis begins at zero.
    pub from_zero: bool,
    /// The curves.
    pub curves: Vec<Curve>,
    /// Straight dashed lines over them.
    pub lines: Vec<Straight>,
}

/// All panels, and what stands behind them.
pub struct Plot {
    /// Seconds at the right end.
    pub end: f64,
    /// What ran: name, from, to, class.
    pub bands: Vec<(String, f64, f64, &'static str)>,
    /// What was done, and when.
    pub events: Vec<(f64, String)>,
    /// The panels from above.
    pub panels: Vec<Panel>,
}

impl Plot {
    /// The picture.
    pub fn svg(&self) -> String {
        let heights: f64 = self.panels.iter().map(|p| TITLE + p.height + BETWEEN).sum();
        let (top, bottom) = (72.0, 72.0 + heights);
        let height = bottom + 26.0;
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"memory, processor, frame times and gaps over time\">\n"
        );
        self.draw_bands(&mut out, bottom);
        self.draw_times(&mut out, top, bottom);
        let mut y = top;
        for panel in &self.panels {
            self.draw_panel(&mut out, panel, y + TITLE);
            y += TITLE + panel.height + BETWEEN;
        }
        self.draw_events(&mut out, top, bottom);
        out + "</svg>\n"
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.end.max(1.0)).clamp(0.0, 1.0)
    }

    fn draw_bands(&self, out: &mut String, bottom: f64) {
        // Names stand in three rows, and none on another.
        let mut free = [0.0_f64; 3];
        for (n, (name, from, to, class)) in self.bands.iter().enumerate() {
            let (x, end) = (self.x(*from), self.x(*to));
            let odd = if n % 2 == 1 { " odd" } else { "" };
            let shown = escape(name);
            put(
                out,
                format_args!(
                    "<rect class=\"band {class}{odd}\" x=\"{x:.1}\" y=\"46\" width=\"{:.1}\" height=\"{:.1}\"><title>{shown}: {} to {}</title></rect>\n",
                    (end - x).max(0.5),
                    bottom - 46.0,
                    minutes(*from),
                    minutes(*to),
                ),
            );
            let wide = name.len() as f64 * 6.2 + 8.0;
            let row = (0..3).find(|row| x >= free[*row]);
            if let Some(row) = row.filter(|_| x + wide < WIDTH) {
                free[row] = x + wide;
                put(
                    out,
                    format_args!(
                        "<text class=\"phase {class}\" x=\"{:.1}\" y=\"{}\">{shown}</text>\n",
                        x + 2.0,
                        12 + row * 14,
                    ),
                );
            }
        }
    }

    fn draw_times(&self, out: &mut String, top: f64, bottom: f64) {
        let step = [
            5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 10_800.0,
            43_200.0, 86_400.0,
        ]
        .into_iter()
        .find(|step| self.end / step <= 12.0)
        .unwrap_or(self.end);
        let mut at = 0.0;
        while at <= self.end {
            let x = self.x(at);
            put(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom:.1}\"/><text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>\n",
                    bottom + 18.0,
                    minutes(at),
                ),
            );
            at += step;
        }
    }

    fn draw_panel(&self, out: &mut String, panel: &Panel, top: f64) {
        let drawn: Vec<_> = panel
            .curves
            .iter()
            .map(|curve| (curve, columns(&curve.points)))
            .collect();
        let values = drawn
            .iter()
            .flat_map(|(_, columns)| columns.iter().flat_map(|c| [c.low, c.high]));
        let ends = panel.lines.iter().flat_map(|Straight(_, a, b)| [a.1, b.1]);
        let (mut low, mut high) = values
            .chain(ends)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(v), h.max(v))
            });
        if panel.from_zero || !low.is_finite() {
            (low, high) = (low.min(0.0), high.max(1.0));
            low = if low.is_finite() { low } else { 0.0 };
        }
        let step = step((high - low) / (panel.height / 34.0));
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        let y = |value: f64| top + panel.height * (1.0 - (value - low) / (high - low).max(1e-9));
        put(
            out,
            format_args!(
                "<text class=\"title\" x=\"{LEFT}\" y=\"{:.1}\">{} <tspan class=\"unit\">{}</tspan></text>\n",
                top - 10.0,
                escape(&panel.title),
                panel.unit,
            ),
        );
        let mut x = WIDTH - RIGHT;
        for curve in panel.curves.iter().rev() {
            x -= curve.name.len() as f64 * 6.6 + 26.0;
            put(
                out,
                format_args!(
                    "<rect class=\"key {}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"3\"/><text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                    curve.class,
                    top - 15.0,
                    x + 16.0,
                    top - 10.0,
                    curve.name,
                ),
            );
        }
        let steps = ((high - low) / step).round() as usize;
        for n in 0..=steps {
            let value = low + step * n as f64;
            let decimals = usize::from(step < 1.0) + usize::from(step < 0.1);
            put(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{value:.decimals$}</text>\n",
                    WIDTH - RIGHT,
                    y(value),
                    y(value),
                    LEFT - 8.0,
                    y(value) + 4.0,
                ),
            );
        }
        for (curve, columns) in &drawn {
            if !curve.highest {
                self.draw_between(out, curve.class, columns, &y);
            }
            let mut path = String::new();
            let mut last = f64::NEG_INFINITY;
            for column in columns {
                // A curve breaks where nothing was measured for long.
                let go = if column.at - last > (self.end / 60.0).max(4.0) {
                    'M'
                } else {
                    'L'
                };
                last = column.at;
                let value = if curve.highest {
                    column.high
                } else {
                    column.mean
                };
                put(
                    &mut path,
                    format_args!("{go}{:.1} {:.1}", self.x(column.at), y(value)),
                );
            }
            put(
                out,
                format_args!("<path class=\"curve {}\" d=\"{path}\"/>\n", curve.class),
            );
        }
        for Straight(class, from, to) in &panel.lines {
            put(
                out,
                format_args!(
                    "<line class=\"line {class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>\n",
                    self.x(from.0),
                    y(from.1),
                    self.x(to.0),
                    y(to.1),
                ),
            );
        }
    }

    fn draw_between(
        &self,
        out: &mut String,
        class: &str,
        columns: &[Column],
        y: &dyn Fn(f64) -> f64,
    ) {
        if columns.iter().all(|column| column.low == column.high) {
            return;
        }
        let mut path = String::new();
        let upper = columns.iter().map(|c| (c.at, c.high));
        let lower = columns.iter().rev().map(|c| (c.at, c.low));
        for (n, (at, value)) in upper.chain(lower).enumerate() {
            let go = if n == 0 { 'M' } else { 'L' };
            put(
                &mut path,
                format_args!("{go}{:.1} {:.1}", self.x(at), y(value)),
            );
        }
        put(
            out,
            format_args!("<path class=\"between {class}\" d=\"{path}Z\"/>\n"),
        );
    }

    fn draw_events(&self, out: &mut String, top: f64, bottom: f64) {
        for (at, event) in &self.events {
            let x = self.x(*at);
            put(
                out,
                format_args!(
                    "<g class=\"event\"><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom:.1}\"/><path d=\"M{x:.1} {:.1}l-3.5 -7h7z\"/><title>{}: {}</title></g>\n",
                    top,
                    minutes(*at),
                    escape(event),
                ),
            );
        }
    }
}

/// What falls into one column of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    at: f64,
    mean: f64,
    low: f64,
    high: f64,
}

fn columns(points: &[(f64, f64)]) -> Vec<Column> {
    let size = points.len().div_ceil(POINTS).max(1);
    let column = |points: &[(f64, f64)]| {
        let count = points.len() as f64;
        let values = || points.iter().map(|p| p.1);
        Column {
            at: points.iter().map(|p| p.0).sum::<f64>() / count,
            mean: values().sum::<f64>() / count,
            low: values().fold(f64::INFINITY, f64::min),
            high: values().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    points.chunks(size).map(column).collect()
}

/// The next of 1, 2, 5, 10, … that isn't under `least`.
fn step(least: f64) -> f64 {
    let ten = 10.0_f64.powf(least.max(1e-3).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * ten);
    steps
        .into_iter()
        .find(|step| *step >= least * 0.999)
        .unwrap_or(ten * 10.0)
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string can't fail");
}

/// `text` as HTML and SVG can hold it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_of_one_second_is_seen_in_a_day() {
        let mut points: Vec<_> = (0..86_400).map(|n| (f64::from(n), 40.0)).collect();
        points[50_000].1 = 900.0;
        let columns = columns(&points);
        assert!(columns.len() <= POINTS);
        let highest = columns.iter().map(|c| c.high).fold(0.0, f64::max);
        assert_eq!(highest, 900.0);
        assert_eq!(columns.iter().filter(|c| c.high > 40.0).count(), 1);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(
            [0.9, 1.0, 3.0, 7.0, 34.0].map(step),
            [1.0, 1.0, 5.0, 10.0, 50.0]
        );
    }
}
