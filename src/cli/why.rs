//! `why PORT`: one screen about one port.

use super::args::{Arguments, ProjectArgs, RuntimeChoice, WhyArgs};
use super::json::WhyDocument;
use super::output::Paint;
use super::{Ending, Environment, Talk, escape, runtime, wishes};
use crate::deploy::{self, Rule, Why};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ContainerState, Published};
use crate::plan::{self, Policy};
use crate::words::verbs::VerbWords;
use crate::words::why::WhyWords;
use crate::words::{Lang, Message, Say};

pub(super) fn run(arguments: &Arguments, typed: &WhyArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let project = ProjectArgs { files: typed.files.clone(), ..ProjectArgs::default() };
    let order = wishes::project_order(arguments, &project, RuntimeChoice::Auto, environment)?;
    let dirs = wishes::dirs(environment).ok();
    let wanted = wishes::ports(Policy::Keep);
    let why = runtime::block_on(deploy::why(&order, typed.port, &wanted, dirs.as_ref()))?
        .map_err(|why| Error::new(ErrorKind::Missing, VerbWords::NoSockets { why: Box::new(why) }))?;
    if talk.json {
        talk.json(&WhyDocument::new(&why))?;
    } else {
        talk.data(&screen(&why, talk))?;
        why.unseen.iter().for_each(|unseen| talk.note(unseen.why.clone()));
    }
    if let Some(error) = &why.project_trouble {
        talk.warn(error.message().clone());
    }
    Ok(Ending::Done)
}

fn screen(why: &Why, talk: &Talk) -> String {
    let say = |message: &Message| message.say(talk.lang);
    let mut screen = talk.out.paint(&say(&WhyWords::Title { port: why.port }.into()), Paint::Bold) + "\n";
    let mut section = |heading: WhyWords, lines: Vec<Message>| {
        if !lines.is_empty() {
            let lines = lines.iter().map(|line| format!("  {}\n", escape::line(&say(line))));
            screen.push('\n');
            screen.push_str(&talk.out.paint(&heading.say(talk.lang), Paint::Cyan));
            screen.push('\n');
            screen.extend(lines);
        }
    };
    section(WhyWords::SocketsHeading, sockets(why));
    section(WhyWords::ContainersHeading, containers(why));
    section(WhyWords::LeasesHeading, leases(why));
    section(WhyWords::ProjectHeading, bindings(why, talk.lang));
    section(WhyWords::SystemHeading, why.rules.iter().map(|rule| rule_line(*rule)).collect());
    section(WhyWords::AdviceHeading, why.advice.clone());
    screen
}

fn sockets(why: &Why) -> Vec<Message> {
    let line = |socket: &crate::model::Socket| {
        let (endpoint, state) = (socket.endpoint.to_string(), socket.state.name());
        WhyWords::SocketLine { endpoint, state, holder: Box::new(plan::held_by(&socket.owner).into()) }.into()
    };
    if why.sockets.is_empty() { vec![WhyWords::NoSocket.into()] } else { why.sockets.iter().map(line).collect() }
}

fn containers(why: &Why) -> Vec<Message> {
    let ports = |one: &Published| format!("{}:{}/{}", one.host_port, one.container_port, one.protocol);
    let line = |(container, published): &(crate::model::Container, Published)| {
        let (name, ports) = (container.identity.name.clone(), ports(published));
        match container.state {
            ContainerState::Running => WhyWords::RunningLine { name, ports },
            ContainerState::Stopped => WhyWords::StoppedLine { name, ports },
        }
        .into()
    };
    why.containers.iter().map(line).collect()
}

fn leases(why: &Why) -> Vec<Message> {
    let leases = why.leases.iter().map(|looked| &looked.lease);
    leases.map(|lease| WhyWords::LeaseLine { pid: lease.holder.pid, purpose: lease.purpose.clone() }.into()).collect()
}

fn bindings(why: &Why, lang: Lang) -> Vec<Message> {
    let directory = why.project.as_ref().map(|(loaded, _)| loaded.project.directory.clone()).unwrap_or_default();
    let line = |(binding, mapping): (&crate::model::Binding, &crate::model::Mapping)| {
        let state = binding.reason.as_ref().map_or_else(|| binding.state.say(lang), |reason| reason.say(lang));
        WhyWords::BindingLine {
            service: mapping.service.clone(),
            file: super::diff::relative(&mapping.source.file, &directory),
            line: mapping.source.line,
            column: mapping.source.column,
            state,
        }
        .into()
    };
    why.bindings().map(line).collect()
}

fn rule_line(rule: Rule) -> Message {
    match rule {
        Rule::Ephemeral(range) => WhyWords::IsEphemeral { range },
        Rule::Excluded(range) => WhyWords::IsExcluded { range },
        Rule::Reserved(range) => WhyWords::IsReserved { range },
        Rule::Privileged(range) => WhyWords::IsPrivileged { range },
    }
    .into()
}
