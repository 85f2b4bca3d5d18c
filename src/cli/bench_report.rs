//! The report of a load test: one file that needs nothing else, as a page, a picture or the document.

use std::fmt::Write as _;
use std::path::Path;

use super::bench_document::BenchDocument;
use super::bench_table::{cells, headings, per_second, rate, size, time};
use super::plot::{Bar, Curve, Frame, Group, Plot, Tick, WIDTH, bars, curves, decades, escaped};
use crate::bench::outcome::Outcome;
use crate::bench::plan::Test;
use crate::bench::{Row, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::words::bench::BenchWords;
use crate::words::cli::CliWords;
use crate::words::{Lang, Say};

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A page with plots and the table.
    Html,
    /// The plots alone.
    Svg,
    /// The document of `--json`.
    Json,
}

impl Form {
    /// Returns the form that a file's name asks for.
    ///
    /// # Errors
    /// `Usage` when the name ends in none.
    pub(super) fn of(file: &Path) -> Result<Self> {
        let ending = file.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("svg") => Ok(Self::Svg),
            Some("json") => Ok(Self::Json),
            _ => {
                let words = BenchWords::ReportName { file: file.display().to_string() };
                Err(Error::new(ErrorKind::Usage, words).hint(BenchWords::HintReportName))
            }
        }
    }
}

/// How plots look: dark where the reader's system is dark.
const PLOT_STYLE: &str = "\
:root{--text:#1c2024;--soft:#60646c;--grid:#d9dce1;--back:#fff;--direct:#b3b8c2;--c0:#2563eb;--c1:#c2410c;--c2:#15803d;\
--c3:#9333ea;--c4:#b45309;--c5:#0e7490;--c6:#be123c;--c7:#4d7c0f}
@media(prefers-color-scheme:dark){:root{--text:#e6e8eb;--soft:#a0a6b0;--grid:#343a42;--back:#15181c;--direct:#5d6570;\
--c0:#7aa7ff;--c1:#fb923c;--c2:#4ade80;--c3:#c084fc;--c4:#fbbf24;--c5:#22d3ee;--c6:#fb7185;--c7:#a3e635}}
svg text{fill:var(--text);font:13px system-ui,sans-serif}
svg text.title{font-weight:600;font-size:15px}
.grid{stroke:var(--grid);fill:none}
.curve{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4;opacity:.75}
.bar.c0{fill:var(--c0)}.bar.direct{fill:var(--direct)}
";

/// How the rest of a page looks.
const PAGE_STYLE: &str = "\
body{margin:2rem auto;padding:0 1rem;max-width:64rem;background:var(--back);color:var(--text);\
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem}h2{font-size:1.05rem;margin:2rem 0 .6rem}
p{color:var(--soft);margin:.2rem 0}
svg{width:100%;height:auto}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin:0 .4rem 0 1rem;vertical-align:-1px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.85rem;white-space:nowrap}
th,td{padding:.3rem .55rem .3rem 0;text-align:right;border-bottom:1px solid var(--grid)}
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child{text-align:left}
";

/// Space above each plot of a picture, for its heading.
const HEADING: f64 = 46.0;

/// Returns the text of the report.
///
/// # Errors
/// `Internal` when the document cannot be put into JSON.
pub(super) fn render(
    form: Form,
    target: &Target,
    direct: Option<&Target>,
    rows: &[Row],
    document: &BenchDocument,
    lang: Lang,
) -> Result<String> {
    match form {
        Form::Html => Ok(page(target, direct, rows, lang)),
        Form::Svg => Ok(picture(target, rows, lang)),
        Form::Json => serde_json::to_string_pretty(document)
            .map(|text| text + "\n")
            .map_err(|error| Error::new(ErrorKind::Internal, CliWords::NotJson { why: error.to_string() })),
    }
}

fn page(target: &Target, direct: Option<&Target>, rows: &[Row], lang: Lang) -> String {
    let title = escaped(&BenchWords::Title { target: target.name.clone() }.say(lang));
    let tag = match lang {
        Lang::En => "en",
        Lang::ZhCn => "zh-CN",
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{PLOT_STYLE}{}{PAGE_STYLE}</style>\n<h1>{title}</h1>\n",
        color_style()
    );
    paragraph(&mut page, &BenchWords::MadeBy { version: env!("CARGO_PKG_VERSION").to_owned() }.say(lang));
    if let Some(direct) = direct {
        paragraph(&mut page, &BenchWords::ComparedWith { direct: direct.name.clone() }.say(lang));
        let _ = writeln!(
            page,
            "<p><span class=\"key\" style=\"background:var(--c0);margin-left:0\"></span>{}\
             <span class=\"key\" style=\"background:var(--direct)\"></span>{}</p>",
            escaped(&BenchWords::TargetSeries.say(lang)),
            escaped(&BenchWords::DirectSeries.say(lang))
        );
    }
    for plot in plots(rows, lang) {
        let _ = writeln!(
            page,
            "<h2>{0}</h2>\n<svg viewBox=\"0 0 {WIDTH} {1:.0}\" role=\"img\" aria-label=\"{0}\">{2}</svg>",
            escaped(&plot.title),
            plot.height,
            plot.body
        );
    }
    let _ = writeln!(page, "<h2>{}</h2>\n{}</html>", escaped(&BenchWords::AllNumbers.say(lang)), numbers(rows, lang));
    page
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, "<p>{}</p>", escaped(text));
}

/// The strokes of the eight colours.
fn color_style() -> String {
    (0..8).fold(String::new(), |mut style, color| {
        let _ = writeln!(style, ".curve.c{color}{{stroke:var(--c{color})}}");
        style
    })
}

fn numbers(rows: &[Row], lang: Lang) -> String {
    let row = |tag: &str, texts: &mut dyn Iterator<Item = String>| {
        let mut cells = String::from("<tr>");
        for text in texts {
            let _ = write!(cells, "<{tag}>{}</{tag}>", escaped(&text));
        }
        cells + "</tr>\n"
    };
    let head = row("th", &mut headings().iter().map(|heading| heading.say(lang)));
    let body: String = rows.iter().map(|one| row("td", &mut cells(one, lang).into_iter())).collect();
    format!("<div class=\"scroll\"><table>\n{head}{body}</table></div>\n")
}

fn picture(target: &Target, rows: &[Row], lang: Lang) -> String {
    let mut body = String::new();
    let mut top = 10.0;
    for plot in plots(rows, lang) {
        let _ = write!(
            body,
            "<text class=\"title\" x=\"16\" y=\"{:.0}\">{}</text>\n<g transform=\"translate(0 {:.0})\">{}</g>\n",
            top + 22.0,
            escaped(&plot.title),
            top + HEADING,
            plot.body
        );
        top += HEADING + plot.height;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" width=\"{WIDTH}\" height=\"{top:.0}\">\n\
         <title>{}</title>\n<style>\n{PLOT_STYLE}{}.back{{fill:var(--back)}}</style>\n\
         <rect class=\"back\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        escaped(&BenchWords::Title { target: target.name.clone() }.say(lang)),
        color_style()
    )
}

/// The plots for which something was measured.
fn plots(rows: &[Row], lang: Lang) -> Vec<Plot> {
    let operations = |row: &&Row| matches!(row.step.test, Test::PingPong | Test::Connect | Test::Reliability);
    let bulk: Vec<&Row> = rows.iter().filter(|row| row.step.test.is_bulk()).collect();
    let counted: Vec<&Row> = rows.iter().filter(operations).collect();
    let is_timed = |row: &&Row| matches!(row.step.test, Test::PingPong | Test::Latency | Test::Connect);
    let timed: Vec<&Row> = rows.iter().filter(is_timed).filter(|row| row.target.latency.is_some()).collect();
    let of = |test: Test| rows.iter().filter(move |row| row.step.test == test).collect::<Vec<&Row>>();
    let (sizes, steps) = (of(Test::Sizes), of(Test::Concurrency));
    let mut plots = Vec::new();
    if !bulk.is_empty() {
        plots.push(bars(
            BenchWords::ThroughputPlot.say(lang),
            &groups(&bulk, |outcome| (outcome.rate_bytes_per_s, rate(outcome.rate_bytes_per_s))),
        ));
    }
    if !counted.is_empty() {
        plots.push(bars(
            BenchWords::OperationsPlot.say(lang),
            &groups(&counted, |outcome| (outcome.operations_per_s, per_second(outcome.operations_per_s))),
        ));
    }
    if !timed.is_empty() {
        plots.push(percentiles(&timed, lang));
    }
    if sizes.len() > 1 {
        let across: Axis = (|row| row.step.size, size);
        plots.push(sweep(&sizes, &BenchWords::SizesPlot, across, |one| Some(one.rate_bytes_per_s / 1_048_576.0), lang));
    }
    if steps.len() > 1 {
        let across: Axis = (|row| row.step.connections, |count| count.to_string());
        plots.push(sweep(&steps, &BenchWords::ConcurrencyPlot, across, |one| Some(one.operations_per_s), lang));
        plots.push(waits(&steps, across, lang));
    }
    plots
}

fn groups(rows: &[&Row], number: impl Fn(&Outcome) -> (f64, String)) -> Vec<Group> {
    let bar = |outcome: &Outcome| {
        let (value, text) = number(outcome);
        Bar { value, text }
    };
    let group = |row: &&Row| Group {
        name: format!("{} \u{d7} {}", row.step.test.name(), row.step.connections),
        bars: std::iter::once(&row.target).chain(&row.direct).map(bar).collect(),
    };
    rows.iter().map(group).collect()
}

/// The latency curve over nines: 0, 90%, 99%, 99.9% and 99.99% are equally far apart.
fn percentiles(rows: &[&Row], lang: Lang) -> Plot {
    let nines = |share: f64| -(1.0 - share.min(MOST_NINES)).log10();
    let curve = |outcome: &Outcome| -> Vec<(f64, f64)> {
        outcome.curve.iter().map(|(share, time)| (nines(*share), time.max(0.1).log10())).collect()
    };
    let mut all = Vec::new();
    for (color, row) in rows.iter().enumerate() {
        let name = row.step.test.name();
        all.push(Curve { name: name.to_owned(), color, dashed: false, points: curve(&row.target) });
        if let Some(direct) = &row.direct {
            let name = format!("{name}, {}", BenchWords::DirectSeries.say(lang));
            all.push(Curve { name, color, dashed: true, points: curve(direct) });
        }
    }
    let values = || all.iter().flat_map(|curve| curve.points.iter().map(|(_, time)| 10f64.powf(*time)));
    let across = ["0", "90%", "99%", "99.9%", "99.99%"].into_iter().zip([0.0, 1.0, 2.0, 3.0, 4.0]);
    let frame = Frame {
        title: BenchWords::LatencyPlot.say(lang),
        below: BenchWords::PercentileAxis.say(lang),
        across: across.map(|(text, at)| Tick { at, text: text.to_owned() }).collect(),
        up: decades(values(), time),
    };
    curves(frame, &all)
}

/// Where the latency curve ends: 99.99%.
const MOST_NINES: f64 = 0.999_9;

/// What a sweep goes over: the number of a row, and how it is written.
type Axis = (fn(&Row) -> usize, fn(usize) -> String);

/// A curve over all steps of a row, for target and direct.
fn sweep(
    rows: &[&Row],
    title: &BenchWords,
    across: Axis,
    number: impl Fn(&Outcome) -> Option<f64>,
    lang: Lang,
) -> Plot {
    let mut all = vec![Curve {
        name: BenchWords::TargetSeries.say(lang),
        color: 0,
        dashed: false,
        points: rows.iter().filter_map(|row| point(row, across, number(&row.target))).collect(),
    }];
    let direct: Vec<_> =
        rows.iter().filter_map(|row| point(row, across, row.direct.as_ref().and_then(&number))).collect();
    if !direct.is_empty() {
        all.push(Curve { name: BenchWords::DirectSeries.say(lang), color: 0, dashed: true, points: direct });
    }
    drawn(rows, title, across, &all, per_second, lang)
}

/// The median and the 99th percentile over all steps of a row.
fn waits(rows: &[&Row], across: Axis, lang: Lang) -> Plot {
    let mut all = Vec::new();
    let mut add = |name: String, color, dashed, points: Vec<(f64, f64)>| {
        if !points.is_empty() {
            all.push(Curve { name, color, dashed, points });
        }
    };
    let direct_name = BenchWords::DirectSeries.say(lang);
    for (color, name, of) in [
        (0, "p50", (|outcome: &Outcome| outcome.latency.map(|latency| latency.p50)) as Number),
        (1, "p99", |outcome| outcome.latency.map(|latency| latency.p99)),
    ] {
        add(name.to_owned(), color, false, rows.iter().filter_map(|row| point(row, across, of(&row.target))).collect());
        let direct = rows.iter().filter_map(|row| point(row, across, row.direct.as_ref().and_then(of)));
        add(format!("{name}, {direct_name}"), color, true, direct.collect());
    }
    drawn(rows, &BenchWords::WaitPlot, across, &all, time, lang)
}

/// A number of an outcome that may not be there.
type Number = fn(&Outcome) -> Option<f64>;

fn point(row: &Row, across: Axis, number: Option<f64>) -> Option<(f64, f64)> {
    let number = number.filter(|number| *number > 0.0)?;
    Some((logarithm((across.0)(row)), number.log10()))
}

fn drawn(rows: &[&Row], title: &BenchWords, across: Axis, all: &[Curve], say: fn(f64) -> String, lang: Lang) -> Plot {
    let values = all.iter().flat_map(|curve| curve.points.iter().map(|(_, number)| 10f64.powf(*number)));
    let marks = rows.iter().map(|row| Tick { at: logarithm((across.0)(row)), text: (across.1)((across.0)(row)) });
    let frame =
        Frame { title: title.say(lang), below: String::new(), across: marks.collect(), up: decades(values, say) };
    curves(frame, all)
}

#[expect(clippy::cast_precision_loss, reason = "sizes and connections are small")]
fn logarithm(count: usize) -> f64 {
    (count.max(1) as f64).log10()
}
