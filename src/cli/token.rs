//! `tunnel token`: makes, lists and revokes the tokens of clients, beside a server that may be running: that of the files
//! that are named, or the one that quick-start launched as a process or in a container.

use serde::Serialize;

use super::args::{Arguments, ProjectArgs, TokenCreateArgs, TokenRevokeArgs, TokenVerb};
use super::interrupt::Interrupt;
use super::service::{self, Found, agree};
use super::table::{Cell, table};
use super::{Ending, Environment, Talk, escape, output, runtime, wishes};
use crate::deploy::{self, Inside, Keeper};
use crate::error::{ErrorKind, Result};
use crate::tunnel::issuing::{self, IssuedToken, Sources, TokenView};
use crate::words::trust::TrustWords;
use crate::words::verbs::VerbWords;
use crate::words::{Lang, Message, Say};

const SCHEMA: &str = "portwright.tunnel/1";

/// A fresh token as JSON, with the token in it.
#[derive(Serialize)]
struct CreateDocument<'a> {
    schema: &'static str,
    token: FreshToken<'a>,
}

#[derive(Serialize)]
struct FreshToken<'a> {
    id: &'a str,
    name: &'a str,
    token: &'a str,
    join_code: &'a str,
    pin: Option<&'a str>,
    ports: &'a [String],
    created_at: &'a str,
}

/// The tokens as JSON.
#[derive(Serialize)]
struct ListDocument<'a> {
    schema: &'static str,
    tokens: Vec<KnownToken<'a>>,
}

/// The revoked ones as JSON; empty where it was revoked before.
#[derive(Serialize)]
struct RevokeDocument<'a> {
    schema: &'static str,
    revoked: Vec<KnownToken<'a>>,
}

#[derive(Serialize)]
struct KnownToken<'a> {
    id: &'a str,
    name: &'a str,
    ports: &'a [String],
    created_at: &'a str,
    revoked_at: Option<&'a str>,
    last_seen_at: Option<&'a str>,
}

impl<'a> KnownToken<'a> {
    fn of(view: &'a TokenView) -> Self {
        let TokenView { id, name, ports, created_at, revoked_at, last_seen_at } = view;
        let (revoked_at, last_seen_at) = (revoked_at.as_deref(), last_seen_at.as_deref());
        Self { id, name, ports, created_at, revoked_at, last_seen_at }
    }
}

pub(super) fn run(arguments: &Arguments, verb: &TokenVerb, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let (TokenVerb::Create(TokenCreateArgs { server, .. })
    | TokenVerb::List(server)
    | TokenVerb::Revoke(TokenRevokeArgs { server, .. })) = verb;
    let mut variables = wishes::text_variables(environment);
    let Some(config) = &server.config else {
        let project = ProjectArgs { instance: server.instance.clone(), ..ProjectArgs::default() };
        let Found { order, loaded, dirs } = service::find(arguments, &project, environment)?;
        let state = loaded.state(&dirs)?;
        return match runtime::block_on(deploy::keeper(&order, &loaded, state.as_ref()))?? {
            Keeper::Files { config, env_file, environment } => {
                variables.extend(environment);
                let from = Sources { config: Some(&config), env_file: Some(&env_file), environment: &variables };
                on_files(from, verb, talk)
            }
            Keeper::Container(container) => inside(&container, verb, talk),
        };
    };
    let from = Sources { config: Some(config), env_file: server.env_file.as_deref(), environment: &variables };
    on_files(from, verb, talk)
}

fn on_files(from: Sources<'_>, verb: &TokenVerb, talk: &Talk) -> Result<Ending> {
    match verb {
        TokenVerb::Create(typed) => create(&issuing::create(from, &typed.name, &typed.ports)?, talk),
        TokenVerb::List(_) => list(&issuing::list(from)?, talk),
        TokenVerb::Revoke(typed) => revoke(from, typed, talk),
    }
}

/// Has the program in the server's container do it, and passes on what it says.
fn inside(container: &Inside, verb: &TokenVerb, talk: &Talk) -> Result<Ending> {
    let (word, after) = match verb {
        TokenVerb::Create(typed) => {
            let ports = typed.ports.iter().flat_map(|range| ["--ports".to_owned(), range.to_string()]);
            ("create", ["--name".to_owned(), typed.name.clone()].into_iter().chain(ports).collect())
        }
        TokenVerb::List(_) => ("list", Vec::new()),
        TokenVerb::Revoke(typed) => {
            let question = VerbWords::AskRevoke { name: typed.token.clone() };
            if !typed.yes && !agree(talk, &Interrupt::install(), question)? {
                return Ok(Ending::Judged(ErrorKind::Interrupted));
            }
            ("revoke", vec!["--yes".to_owned(), "--".to_owned(), typed.token.clone()])
        }
    };
    let lang = if talk.lang == Lang::ZhCn { "zh-CN" } else { "en" };
    let globals = ["--lang", lang].into_iter().chain(talk.json.then_some("--json")).chain(talk.quiet.then_some("-q"));
    let before: Vec<&str> = globals.chain(["tunnel", "token", word]).collect();
    let ran = runtime::block_on(container.run(&before, &after))??;
    output::write_err(&escape::lines(&String::from_utf8_lossy(&ran.stderr)));
    if !ran.stdout.is_empty() {
        output::write_out(&escape::lines(&String::from_utf8_lossy(&ran.stdout)))?;
    }
    Ok(match ErrorKind::of_exit_code(ran.code) {
        None if ran.code == 0 => Ending::Done,
        kind => Ending::Judged(kind.unwrap_or(ErrorKind::Internal)),
    })
}

/// Prints the token: the only place that ever does.
fn create(issued: &IssuedToken, talk: &Talk) -> Result<Ending> {
    let IssuedToken { view, token, join_code, pin } = issued;
    if talk.json {
        let token = FreshToken {
            id: &view.id,
            name: &view.name,
            token: token.expose(),
            join_code: join_code.expose(),
            pin: pin.as_deref(),
            ports: &view.ports,
            created_at: &view.created_at,
        };
        talk.json(&CreateDocument { schema: SCHEMA, token })?;
        return Ok(Ending::Done);
    }
    let mut lines = vec![
        TrustWords::TokenLine { token: token.expose().to_owned() },
        TrustWords::JoinCodeLine { code: join_code.expose().to_owned() },
    ];
    lines.extend(pin.clone().map(|pin| TrustWords::PinLine { pin }));
    let text: String = lines.iter().map(|line| line.say(talk.lang) + "\n").collect();
    talk.data(&text)?;
    talk.note(TrustWords::ShownOnce);
    talk.hint(TrustWords::RunOnClient);
    Ok(Ending::Done)
}

fn list(tokens: &[TokenView], talk: &Talk) -> Result<Ending> {
    if talk.json {
        talk.json(&ListDocument { schema: SCHEMA, tokens: tokens.iter().map(KnownToken::of).collect() })?;
    } else if tokens.is_empty() {
        talk.note(TrustWords::NoTokens);
        talk.hint(TrustWords::MakeToken);
    } else {
        let headers: [Message; 6] = [
            VerbWords::NameColumn.into(),
            TrustWords::IdColumn.into(),
            TrustWords::PortsColumn.into(),
            TrustWords::CreatedColumn.into(),
            TrustWords::SeenColumn.into(),
            TrustWords::RevokedColumn.into(),
        ];
        let row = |view: &TokenView| {
            vec![
                Cell::new(&view.name),
                Cell::new(&view.id),
                Cell::new(&view.ports.join(" ")),
                Cell::new(&view.created_at),
                Cell::maybe(view.last_seen_at.as_deref()),
                Cell::maybe(view.revoked_at.as_deref()),
            ]
        };
        talk.data(&table(&headers, &tokens.iter().map(row).collect::<Vec<_>>(), talk.lang, talk.out))?;
    }
    Ok(Ending::Done)
}

fn revoke(from: Sources<'_>, typed: &TokenRevokeArgs, talk: &Talk) -> Result<Ending> {
    let found = issuing::find(from, &typed.token)?;
    let name = found.name.clone();
    let mut revoked = Vec::new();
    if found.revoked_at.is_none() {
        let question = VerbWords::AskRevoke { name: name.clone() };
        if !typed.yes && !agree(talk, &Interrupt::install(), question)? {
            return Ok(Ending::Judged(ErrorKind::Interrupted));
        }
        revoked.push(issuing::revoke(from, &found)?);
    }
    if talk.json {
        talk.json(&RevokeDocument { schema: SCHEMA, revoked: revoked.iter().map(KnownToken::of).collect() })?;
    }
    talk.say(if revoked.is_empty() { TrustWords::AlreadyRevoked { name } } else { TrustWords::TokenRevoked { name } });
    Ok(Ending::Done)
}
