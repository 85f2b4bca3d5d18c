//! `bench` and its target: wishes into steps, rows into a table, failures into the exit code.

use std::path::Path;

use serde::Serialize;

use super::args::{BenchArgs, BenchServeArgs, BenchTests, BenchVerb};
use super::bench_document::BenchDocument;
use super::bench_report::{self, Form};
use super::bench_table::{self, size};
use super::progress::Progress;
use super::{Ending, Talk};
use crate::bench::outcome::{Failure, Outcome};
use crate::bench::plan::{Kind, TESTS, Wishes, steps};
use crate::bench::{self, Row, Side, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::host::StopSignals;
use crate::words::bench::BenchWords;
use crate::words::cli::CliWords;
use crate::words::verbs::VerbWords;
use crate::words::{Message, Say};

/// Runs the verb: a test, or the target.
pub(super) fn run(typed: &BenchArgs, talk: &Talk) -> Result<Ending> {
    match (&typed.verb, &typed.target) {
        (Some(BenchVerb::Serve(typed)), _) => serve(typed, talk),
        (None, Some(target)) => test(typed, target, talk),
        (None, None) => Err(Error::new(ErrorKind::Usage, CliWords::VerbMissing)),
    }
}

#[derive(Serialize)]
struct ServeDocument {
    schema: &'static str,
    address: String,
}

fn serve(typed: &BenchServeArgs, talk: &Talk) -> Result<Ending> {
    bench::serve(
        typed.listen,
        |address| {
            let address = address.to_string();
            if talk.json {
                return talk.json(&ServeDocument { schema: "portwright.bench-serve/1", address });
            }
            talk.data(&BenchWords::Listening { address }.say(talk.lang))
        },
        || {
            let mut signals = StopSignals::listen()?;
            Ok(async move { signals.next().await })
        },
    )?;
    Ok(Ending::Done)
}

fn test(typed: &BenchArgs, target: &str, talk: &Talk) -> Result<Ending> {
    let wishes = wishes(typed);
    let steps = steps(&wishes);
    if steps.is_empty() {
        return Err(Error::new(ErrorKind::Usage, BenchWords::NothingToRun).hint(BenchWords::HintNothingToRun));
    }
    let report = typed.report.as_deref().map(|file| Form::of(file).map(|form| (file, form))).transpose()?;
    let target = bench::reach(target, wishes.kind)?;
    let direct = typed.direct.as_deref().map(|name| bench::reach(name, wishes.kind)).transpose()?;
    let mut progress = Progress::new(talk);
    let rounds = usize::try_from(typed.rounds).unwrap_or(usize::MAX);
    let all = steps.len().saturating_mul(rounds) * if direct.is_some() { 2 } else { 1 };
    let mut done = 0;
    let rows = bench::run(&target, direct.as_ref(), &steps, typed.rounds, &mut |step, side| {
        done += 1;
        progress.step(BenchWords::Measuring {
            done,
            all,
            test: step.test.name().to_owned(),
            connections: step.connections,
            size: size(step.size),
            target: side_name(side, &target, direct.as_ref()),
        });
    });
    progress.done();
    let document = BenchDocument::new(&target, direct.as_ref(), &rows);
    if let Some((file, form)) = report {
        write_report(file, &bench_report::render(form, &target, direct.as_ref(), &rows, &document, talk.lang)?)?;
        talk.say(BenchWords::ReportWritten { file: file.display().to_string() });
    }
    if talk.json {
        talk.json(&document)?;
    } else {
        talk.data(&bench_table::table(&rows, talk.lang, talk.out))?;
    }
    Ok(judge(&rows, &target, direct.as_ref(), talk))
}

fn side_name(side: Side, target: &Target, direct: Option<&Target>) -> String {
    match (side, direct) {
        (Side::Direct, Some(direct)) => direct.name.clone(),
        _ => target.name.clone(),
    }
}

fn write_report(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).map_err(|error| {
        let words = VerbWords::ReportUnwritable { file: file.display().to_string(), why: error.to_string() };
        Error::new(ErrorKind::Missing, words)
    })
}

/// Says what failed. A target that failed is unhealthy; the address to compare with is nobody's concern.
fn judge(rows: &[Row], target: &Target, direct: Option<&Target>, talk: &Talk) -> Ending {
    for row in rows {
        tell_failures(row, &row.target, &target.name, talk);
        if let (Some(outcome), Some(direct)) = (&row.direct, direct) {
            tell_failures(row, outcome, &direct.name, talk);
        }
    }
    let failures = || rows.iter().flat_map(|row| row.target.failures.keys());
    if failures().next().is_none() {
        return Ending::Done;
    }
    talk.warn(if failures().any(|failure| failure.breaks_integrity()) {
        BenchWords::Broken
    } else {
        BenchWords::Failed
    });
    Ending::Judged(ErrorKind::Unhealthy)
}

fn tell_failures(row: &Row, outcome: &Outcome, name: &str, talk: &Talk) {
    for (failure, count) in &outcome.failures {
        let what: Message = match failure {
            Failure::Unconnected => BenchWords::Unconnected,
            Failure::Closed => BenchWords::Closed,
            Failure::TimedOut => BenchWords::TimedOut,
            Failure::Damaged => BenchWords::Damaged,
            Failure::Lost => BenchWords::Lost,
        }
        .into();
        let test = row.step.test.name().to_owned();
        talk.note(BenchWords::Failures { test, target: name.to_owned(), count: *count, what: Box::new(what) });
    }
}

const fn kind(typed: &BenchArgs) -> Kind {
    match (typed.echo, typed.no_data) {
        (_, true) => Kind::Silent,
        (true, _) => Kind::Echo,
        _ => Kind::Bench,
    }
}

fn wishes(typed: &BenchArgs) -> Wishes {
    let tests = typed.tests.iter().flat_map(|tests| match tests {
        BenchTests::One(test) => vec![*test],
        BenchTests::All => TESTS.to_vec(),
    });
    Wishes {
        tests: tests.collect(),
        connections: typed.connections,
        size: typed.size,
        duration: typed.duration,
        kind: kind(typed),
    }
}
