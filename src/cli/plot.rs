//! Plots as SVG: bars and curves, with classes in place of colours so that a page decides how they look.

use std::fmt::Write as _;

/// Width of a plot in units of its own.
pub(super) const WIDTH: f64 = 760.0;

/// Height of a curve plot.
const CURVE_HEIGHT: f64 = 320.0;

/// Space for names left of bars.
const NAMES: f64 = 190.0;

/// Space for numbers right of the longest bar.
const NUMBERS: f64 = 130.0;

/// Height of a bar, and of the space for it.
const BAR: f64 = 16.0;
const BAR_SPACE: f64 = 20.0;

/// Space between two groups of bars.
const GROUP_SPACE: f64 = 10.0;

/// Space around the area of a curve plot: left, right, above, below.
const MARGINS: (f64, f64, f64, f64) = (74.0, 170.0, 12.0, 50.0);

/// How many colours there are; the page names them `c0` to `c7`.
const COLORS: usize = 8;

/// A drawn plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    /// The heading.
    pub(super) title: String,
    /// Its height in the same units as [`WIDTH`].
    pub(super) height: f64,
    /// What stands within the `svg` element.
    pub(super) body: String,
}

/// A bar with a name and its number as text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    /// Its length, in any unit that all bars of a plot share.
    pub(super) value: f64,
    /// The number with its unit.
    pub(super) text: String,
}

/// Bars of one name, one below the other: target, and direct where there is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    /// The name.
    pub(super) name: String,
    /// The bars; the first is the target's.
    pub(super) bars: Vec<Bar>,
}

/// Draws bars from left to right, the longest over the whole width.
pub(super) fn bars(title: String, groups: &[Group]) -> Plot {
    let longest = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value).fold(0.0, f64::max);
    let scale = if longest > 0.0 { (WIDTH - NAMES - NUMBERS) / longest } else { 0.0 };
    let mut body = String::new();
    let mut top = 0.0;
    for group in groups {
        for (at, bar) in group.bars.iter().enumerate() {
            let (middle, length) = (top + BAR / 2.0 + 4.5, (bar.value * scale).max(1.0));
            if at == 0 {
                text(&mut body, NAMES - 10.0, middle, "end", &group.name);
            }
            let class = if at == 0 { "c0" } else { "direct" };
            let _ = write!(
                body,
                r#"<rect class="bar {class}" x="{NAMES}" y="{top:.1}" width="{length:.1}" height="{BAR}" rx="2"/>"#
            );
            text(&mut body, NAMES + length + 8.0, middle, "start", &bar.text);
            top += BAR_SPACE;
        }
        top += GROUP_SPACE;
    }
    Plot { title, height: top, body }
}

/// A mark on an axis: where, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// The place in the axis's own measure.
    pub(super) at: f64,
    /// The text.
    pub(super) text: String,
}

/// A curve; its points are in the measures of the axes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// What the legend calls it.
    pub(super) name: String,
    /// Its colour, counted from 0.
    pub(super) color: usize,
    /// Whether it is dashed: direct.
    pub(super) dashed: bool,
    /// Places from left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// What a curve plot needs besides its curves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    /// The heading.
    pub(super) title: String,
    /// What the horizontal axis is; may be empty.
    pub(super) below: String,
    /// Marks of the horizontal axis.
    pub(super) across: Vec<Tick>,
    /// Marks of the vertical axis.
    pub(super) up: Vec<Tick>,
}

/// Draws curves over a grid; both axes go from their first to their last mark.
pub(super) fn curves(frame: Frame, all: &[Curve]) -> Plot {
    let (left, right, above, below) = MARGINS;
    let (width, height) = (WIDTH - left - right, CURVE_HEIGHT - above - below);
    let x = |at: f64| left + width * share(&frame.across, at);
    let y = |at: f64| above + height * (1.0 - share(&frame.up, at));
    let mut body = String::new();
    for tick in &frame.across {
        let at = x(tick.at);
        let _ = write!(body, r#"<path class="grid" d="M{at:.1} {above}V{:.1}"/>"#, above + height);
        text(&mut body, at, above + height + 18.0, "middle", &tick.text);
    }
    for tick in &frame.up {
        let at = y(tick.at);
        let _ = write!(body, r#"<path class="grid" d="M{left} {at:.1}H{:.1}"/>"#, left + width);
        text(&mut body, left - 8.0, at + 4.5, "end", &tick.text);
    }
    text(&mut body, left + width / 2.0, CURVE_HEIGHT - 10.0, "middle", &frame.below);
    for (row, curve) in all.iter().enumerate() {
        let class = format!("curve c{}{}", curve.color % COLORS, if curve.dashed { " dashed" } else { "" });
        let points: Vec<String> = curve.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let _ = write!(body, r#"<polyline class="{class}" points="{}"/>"#, points.join(" "));
        let (at, legend) = (above + 8.0 + 20.0 * as_float(row), left + width + 14.0);
        let _ = write!(body, r#"<path class="{class}" d="M{legend} {at:.1}h22"/>"#);
        text(&mut body, legend + 28.0, at + 4.5, "start", &curve.name);
    }
    Plot { title: frame.title, height: CURVE_HEIGHT.max(above + 20.0 * as_float(all.len())), body }
}

/// Returns marks at the powers of ten around the values, whose measure is the logarithm.
pub(super) fn decades(values: impl Iterator<Item = f64>, say: impl Fn(f64) -> String) -> Vec<Tick> {
    let (lowest, highest) =
        values.filter(|value| *value > 0.0).fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(value), b.max(value)));
    if lowest > highest {
        return Vec::new();
    }
    let first = lowest.log10().floor();
    let end = highest.log10().ceil().max(first + 1.0);
    let between: &[f64] = if end - first <= FEW_DECADES { &[1.0, 2.0, 5.0] } else { &[1.0] };
    std::iter::successors(Some(first), |at| Some(at + 1.0))
        .take_while(|at| *at <= end)
        .flat_map(|at| between.iter().map(move |part| at + part.log10()))
        .filter(|at| *at <= end)
        .map(|at| Tick { at, text: without_zeros(&say(10f64.powf(at))) })
        .collect()
}

/// Up to so many powers of ten there are marks between them.
const FEW_DECADES: f64 = 2.0;

/// Writes `10.0 ms` as `10 ms`: a mark is a round number.
fn without_zeros(text: &str) -> String {
    let (number, unit) = text.split_once(' ').map_or((text, ""), |(number, unit)| (number, unit));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if unit.is_empty() { number.to_owned() } else { format!("{number} {unit}") }
}

fn share(axis: &[Tick], at: f64) -> f64 {
    match (axis.first(), axis.last()) {
        (Some(first), Some(last)) if last.at > first.at => ((at - first.at) / (last.at - first.at)).clamp(0.0, 1.0),
        _ => 0.5,
    }
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = write!(body, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

/// Makes any text one that may stand between tags and within quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[expect(clippy::cast_precision_loss, reason = "a plot has few rows")]
fn as_float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_foreign_names_are_text() {
        let bar = |value| Bar { value, text: format!("{value}") };
        let group = Group { name: "<a&b>".into(), bars: vec![bar(4.0), bar(2.0)] };
        let plot = bars("t".into(), &[group]);
        assert!(plot.body.contains(r#"width="440.0""#) && plot.body.contains(r#"width="220.0""#), "{}", plot.body);
        assert!(plot.body.contains("&lt;a&amp;b&gt;") && !plot.body.contains("<a&"));
    }

    #[test]
    fn marks_are_the_powers_of_ten_around_the_values() {
        let marks = |values: &[f64]| -> Vec<f64> {
            decades(values.iter().copied(), |value| format!("{value}")).iter().map(|tick| tick.at).collect()
        };
        assert_eq!(marks(&[52.0, 900.0, 12_000.0]), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(marks(&[10.0]).len(), 4, "10, 20, 50, 100");
        assert_eq!([without_zeros("10.0 ms"), without_zeros("1.00"), without_zeros("200")], ["10 ms", "1", "200"]);
        assert!(marks(&[]).is_empty() && marks(&[0.0]).is_empty());
    }

    #[test]
    fn a_curve_without_width_is_drawn_in_the_middle() {
        let frame = Frame { title: String::new(), below: String::new(), across: Vec::new(), up: Vec::new() };
        let curve = Curve { name: "a".into(), color: 9, dashed: true, points: vec![(1.0, 1.0)] };
        assert!(curves(frame, &[curve]).body.contains(r#"class="curve c1 dashed" points="332.0,"#));
    }
}
