//! `scan`: sockets with their owners, and free ports.

use std::time::Duration;

use super::args::{Arguments, ProjectArgs, ProtocolFilter, RuntimeChoice, ScanArgs};
use super::json::ScanDocument;
use super::{Ending, Environment, Talk, runtime, table, wishes};
use crate::deploy::{Interrupt, ProjectOrder, Scan, ScanWishes, scan};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Protocol;
use crate::words::verbs::VerbWords;

/// How long `--watch` waits between two looks when nothing else is said: often enough to follow a service that starts.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

pub(super) fn run(
    arguments: &Arguments,
    scan_args: &ScanArgs,
    talk: &Talk,
    environment: &Environment,
) -> Result<Ending> {
    if scan_args.watch && talk.json {
        return Err(Error::new(ErrorKind::Usage, VerbWords::WatchJson).hint(VerbWords::HintWatchJson));
    }
    let project = ProjectArgs::default();
    let order = wishes::project_order(arguments, &project, RuntimeChoice::Auto, environment)?;
    let wishes = ScanWishes {
        range: scan_args.range,
        protocol: match scan_args.protocol {
            ProtocolFilter::Tcp => Some(Protocol::Tcp),
            ProtocolFilter::Udp => Some(Protocol::Udp),
            ProtocolFilter::All => None,
        },
        process: scan_args.process.clone(),
        free: scan_args.free.unwrap_or(0),
    };
    if scan_args.watch {
        return watch(&order, &wishes, scan_args.interval.unwrap_or(WATCH_INTERVAL), talk);
    }
    let found = look(&order, &wishes)?;
    show(&found, talk)?;
    let short = found.free.len() < usize::from(wishes.free);
    if short && !talk.json {
        talk.warn(VerbWords::FewFree { found: found.free.len(), wanted: wishes.free });
    }
    Ok(if short { Ending::Judged(ErrorKind::Refused) } else { Ending::Done })
}

fn look(order: &ProjectOrder, wishes: &ScanWishes) -> Result<Scan> {
    let found = runtime::block_on(scan(order, wishes))?;
    found.map_err(|why| Error::new(ErrorKind::Missing, VerbWords::NoSockets { why: Box::new(why) }))
}

fn show(found: &Scan, talk: &Talk) -> Result<()> {
    if talk.json {
        return talk.json(&ScanDocument::new(found.sockets.iter(), &found.unseen, &found.free));
    }
    talk.data(&table::sockets(found.sockets.iter(), talk.lang, talk.out))?;
    if !found.free.is_empty() {
        let list = found.free.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        talk.data(&crate::words::Say::say(&VerbWords::FreePorts { list }, talk.lang))?;
    }
    found.unseen.iter().for_each(|unseen| talk.note(unseen.why.clone()));
    Ok(())
}

/// Looks again and again; on a terminal the page is drawn anew, elsewhere what came and went is a line each.
fn watch(order: &ProjectOrder, wishes: &ScanWishes, interval: Duration, talk: &Talk) -> Result<Ending> {
    let interrupt = Interrupt::new(super::Interrupt::install().flag());
    let mut last = look(order, wishes)?;
    show(&last, talk)?;
    loop {
        runtime::pause(interval, &interrupt)?;
        if interrupt.raised() {
            return Ok(Ending::Judged(ErrorKind::Interrupted));
        }
        let next = look(order, wishes)?;
        if talk.can_draw() {
            talk.data("\u{1b}[H\u{1b}[2J")?;
            show(&next, talk)?;
        } else {
            let gone = last.sockets.iter().filter(|socket| !next.sockets.contains(socket));
            let came = next.sockets.iter().filter(|socket| !last.sockets.contains(socket));
            let lines = gone.map(|socket| ('-', socket)).chain(came.map(|socket| ('+', socket)));
            for (sign, socket) in lines {
                let who = socket.owner.container.as_ref().map(|container| container.name.as_str());
                let who = who.or(socket.owner.process.as_deref()).unwrap_or("?");
                talk.data(&super::escape::line(&format!("{sign} {} {} {who}", socket.endpoint, socket.state.name())))?;
            }
        }
        last = next;
    }
}
