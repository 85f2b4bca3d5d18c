//! The command tree with its texts: clap's derived command, walked once to put the catalogue's words in place.
//!
//! clap has no translations of its own, so every heading, usage line and value name that it would write in English
//! is set here.

use clap::{Arg, Command, CommandFactory};

use super::args::Arguments;
use crate::words::help::HelpWords as H;
use crate::words::{Lang, Say};

/// Widest help page in columns: longer lines are hard to read, however wide the terminal is.
const HELP_WIDTH_MAX: usize = 110;

/// Returns the command with its texts in `lang`.
#[must_use]
pub fn command(lang: Lang) -> Command {
    localise(Arguments::command(), "", lang).max_term_width(HELP_WIDTH_MAX)
}

/// Puts the texts of `command` and of everything below it in place; `path` is its name below the root.
fn localise(command: Command, path: &str, lang: Lang) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let usage = usage(&command, path, lang);
    let command = command
        .long_about(None::<&str>)
        .after_help(
            examples(path)
                .map_or_else(String::new, |words| format!("{}\n{}", H::ExamplesHeading.say(lang), words.say(lang))),
        )
        .help_template(format!("{{about}}\n\n{}{{usage}}\n\n{{all-args}}{{after-help}}", H::UsageHeading.say(lang)))
        .override_usage(usage)
        .subcommand_help_heading(H::CommandsHeading.say(lang))
        .mut_args(|arg| localise_argument(arg, path, lang));
    let command = match about(path) {
        Some(words) => command.about(words.say(lang)),
        None => command.about(None::<&str>),
    };
    names.into_iter().fold(command, |command, name| {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |sub| localise(sub, &path, lang))
    })
}

fn localise_argument(arg: Arg, path: &str, lang: Lang) -> Arg {
    let Some(words) = argument(path, arg.get_id().as_str()) else { return arg };
    let heading = match (arg.is_global_set() || arg.get_id() == "version", arg.is_positional()) {
        (true, _) => H::GlobalHeading,
        (false, true) => H::ArgumentsHeading,
        (false, false) => H::OptionsHeading,
    };
    let arg = arg.help(words.help.say(lang)).long_help(None::<&str>).help_heading(heading.say(lang));
    match words.value {
        Some(value) => arg.value_name(value.say(lang)).hide_possible_values(true).hide_default_value(true),
        None => arg,
    }
}

fn usage(command: &Command, path: &str, lang: Lang) -> String {
    let mut words = vec!["portwright".to_owned()];
    words.extend(path.split_whitespace().map(str::to_owned));
    for arg in command.get_arguments().filter(|arg| arg.is_required_set() && !arg.is_positional()) {
        let value = argument(path, arg.get_id().as_str()).and_then(|words| words.value);
        let value = value.map(|words| words.say(lang)).unwrap_or_default();
        words.push(format!("--{} <{value}>", arg.get_long().unwrap_or_default()));
    }
    words.push(H::OptionsMark.say(lang));
    if command.is_subcommand_required_set() {
        words.push(H::CommandMark.say(lang));
    }
    for arg in command.get_positionals() {
        let value = argument(path, arg.get_id().as_str()).and_then(|words| words.value);
        let value = value.map(|words| words.say(lang)).unwrap_or_default();
        if arg.is_last_set() {
            words.push("--".to_owned());
        }
        words.push(if arg.is_required_set() { format!("<{value}>") } else { format!("[{value}]") });
    }
    words.join(" ")
}

fn about(path: &str) -> Option<H> {
    Some(match path {
        "" => H::About,
        "quick-start" => H::QuickStart,
        "check" => H::Check,
        "scan" => H::Scan,
        "why" => H::Why,
        "doctor" => H::Doctor,
        "doctor bundle" => H::DoctorBundle,
        "completions" => H::Completions,
        "man" => H::Man,
        "undo" => H::Undo,
        "status" => H::Status,
        "logs" => H::Logs,
        "down" => H::Down,
        "tunnel" => H::Tunnel,
        "tunnel server" => H::TunnelServer,
        "tunnel client" => H::TunnelClient,
        "tunnel status" => H::TunnelStatus,
        "mapping" => H::Mapping,
        "mapping create" => H::MappingCreate,
        "mapping remove" => H::MappingRemove,
        "mapping update" => H::MappingUpdate,
        "mapping reload" => H::MappingReload,
        "mapping list" => H::MappingList,
        "mapping import" => H::MappingImport,
        "tunnel health" => H::TunnelHealth,
        "tunnel token" => H::TunnelToken,
        "tunnel token create" => H::TokenCreate,
        "tunnel token list" => H::TokenList,
        "tunnel token revoke" => H::TokenRevoke,
        "pool" => H::Pool,
        "pool alloc" => H::PoolAlloc,
        "pool release" => H::PoolRelease,
        "pool renew" => H::PoolRenew,
        "pool list" => H::PoolList,
        "pool usage" => H::PoolUsage,
        "pool gc" => H::PoolGc,
        "pool run" => H::PoolRun,
        "tune" => H::Tune,
        "tune show" => H::TuneShow,
        "tune apply" => H::TuneApply,
        "tune revert" => H::TuneRevert,
        "service" => H::ServiceVerbs,
        "service install" => H::ServiceInstall,
        "service install server" => H::ServiceInstallServer,
        "service install client" => H::ServiceInstallClient,
        "service uninstall" => H::ServiceUninstall,
        "service start" => H::ServiceStart,
        "service stop" => H::ServiceStop,
        "service status" => H::ServiceStatus,
        "service host" => H::ServiceHost,
        "bench" => H::Bench,
        "bench serve" => H::BenchServe,
        "supervise" => H::Supervise,
        "become" => H::Become,
        _ => return None,
    })
}

fn examples(path: &str) -> Option<H> {
    Some(match path {
        "" | "quick-start" => H::QuickStartExamples,
        "check" => H::CheckExamples,
        "scan" => H::ScanExamples,
        "why" => H::WhyExamples,
        "doctor" | "doctor bundle" => H::DoctorExamples,
        "completions" => H::CompletionsExamples,
        "man" => H::ManExamples,
        "undo" => H::UndoExamples,
        "status" => H::StatusExamples,
        "logs" => H::LogsExamples,
        "down" => H::DownExamples,
        "tunnel status" => H::TunnelStatusExamples,
        "mapping import" => H::ImportExamples,
        "mapping" | "mapping create" | "mapping remove" | "mapping update" | "mapping reload" | "mapping list" => {
            H::MappingExamples
        }
        "tunnel client" => H::TunnelClientExamples,
        "pool run" => H::PoolRunExamples,
        path if path.starts_with("service") => H::ServiceExamples,
        path if path.starts_with("pool") => H::PoolExamples,
        path if path.starts_with("tune") && !path.starts_with("tunnel") => H::TuneExamples,
        "bench" => H::BenchExamples,
        "bench serve" => H::BenchServeExamples,
        "tunnel" | "tunnel server" => H::TunnelServerExamples,
        "tunnel token" | "tunnel token create" | "tunnel token list" | "tunnel token revoke" => H::TokenExamples,
        _ => return None,
    })
}

struct ArgumentWords {
    help: H,
    value: Option<H>,
}

/// The words of an argument: by its verb where the same name means something else there, else by its name alone.
fn argument(path: &str, id: &str) -> Option<ArgumentWords> {
    let (help, value) = switch(path, id).map(|help| (help, None)).or_else(|| {
        let (help, value) = valued(path, id)?;
        Some((help, Some(value)))
    })?;
    Some(ArgumentWords { help, value })
}

fn switch(path: &str, id: &str) -> Option<H> {
    Some(match (path, id) {
        (_, "json") => H::Json,
        (_, "quiet") => H::Quiet,
        (_, "verbose") => H::Verbose,
        (_, "help") => H::Help,
        (_, "version") => H::Version,
        ("service install server" | "service install client", "dry_run") => H::ServiceDryRun,
        (_, "user") => H::ServiceUser,
        (_, "force") => H::ServiceForce,
        ("quick-start", "yes") => H::QuickStartYes,
        (_, "yes") => H::Yes,
        (_, "dry_run") => H::DryRun,
        (_, "no_launch") => H::NoLaunch,
        ("mapping create" | "mapping update", "tunnel") => H::MappingTunnel,
        ("mapping create" | "mapping update", "direct") => H::MappingDirect,
        (_, "open") => H::MappingOpen,
        ("doctor", "strict") => H::DoctorStrict,
        (_, "strict") => H::Strict,
        (_, "override_file") => H::Override,
        (_, "ripple") => H::Ripple,
        (_, "tune") => H::QuickStartTune,
        ("logs", "follow") => H::FollowOutput,
        (_, "follow") => H::FollowLink,
        (_, "watch") => H::Watch,
        ("tunnel server" | "service install server", "insecure") => H::ServeInsecure,
        (_, "legacy_v1") => H::LegacyV1,
        (_, "no_first_token") => H::NoFirstToken,
        (_, "insecure") => H::Insecure,
        (_, "weak_disk") => H::WeakDisk,
        (_, "contiguous") => H::Contiguous,
        (_, "hold") => H::PoolHold,
        (_, "echo") => H::BenchEcho,
        (_, "no_data") => H::BenchNoData,
        ("doctor", "facts") => H::DoctorFacts,
        ("doctor", "fix") => H::DoctorFix,
        _ => return None,
    })
}

/// The words of an argument of `mapping`, and of those that every verb has which asks an API.
fn valued_of_api(path: &str, id: &str) -> Option<(H, H)> {
    Some(match (path, id) {
        (_, "api") => (H::Api, H::UrlValue),
        (_, "api_key_file") => (H::ApiKeyFile, H::FileValue),
        ("tunnel status", "ca") => (H::ApiCa, H::FileValue),
        (path, _) if !path.starts_with("mapping ") => return None,
        (_, "ca") => (H::ApiCa, H::FileValue),
        (_, "port") => (H::MappingPort, H::PortValue),
        (_, "target") => (H::MappingTarget, H::TargetValue),
        (_, "client") => (H::MappingClient, H::NameValue),
        (_, "protocol") => (H::MappingProtocol, H::ProtocolValue),
        (_, "proxy_protocol") => (H::MappingProxy, H::VersionValue),
        (_, "limit") => (H::MappingLimit, H::BytesValue),
        (_, "allow") => (H::MappingAllow, H::NetworkValue),
        (_, "deny") => (H::MappingDeny, H::NetworkValue),
        (_, "name") => (H::MappingName, H::NameValue),
        _ => return None,
    })
}

/// The words of an argument that one family of verbs has: services, settings, the doctor, the load test.
fn valued_of_one(path: &str, id: &str) -> Option<(H, H)> {
    Some(match (path, id) {
        (path, "env_file") if path.starts_with("service ") => (H::ConfigEnvFile, H::FileValue),
        (path, "name") if path.starts_with("service ") => (H::ServiceName, H::NameValue),
        (_, "role") => (H::ServiceRole, H::RoleValue),
        (_, "run_as") => (H::ServiceRunAs, H::UserValue),
        ("service install client", "join") => (H::ServiceJoin, H::CodeValue),
        ("doctor", "only") => (H::DoctorOnly, H::IdValue),
        ("doctor", "skip") => (H::DoctorSkip, H::IdValue),
        ("doctor", "accept") => (H::DoctorAccept, H::IdValue),
        (_, "bundle") => (H::DoctorBundleFile, H::FileValue),
        ("doctor", "server") => (H::DoctorServer, H::ServerValue),
        ("doctor", "from_facts") => (H::DoctorFromFacts, H::FileValue),
        (_, "profile") => (H::TuneProfile, H::ProfileValue),
        (_, "service_ports") => (H::TunePort, H::RangeValue),
        (_, "target") => (H::BenchTarget, H::HostPortValue),
        (_, "tests") => (H::BenchTests, H::TestValue),
        (_, "connections") => (H::BenchConnections, H::CountValue),
        (_, "size") => (H::BenchSize, H::BytesValue),
        (_, "duration") => (H::BenchDuration, H::SecondsValue),
        (_, "rounds") => (H::BenchRounds, H::CountValue),
        (_, "report") => (H::BenchReport, H::FileValue),
        (_, "direct") => (H::BenchDirect, H::HostPortValue),
        ("bench serve", "listen") => (H::BenchListen, H::AddressValue),
        _ => return None,
    })
}

fn valued(path: &str, id: &str) -> Option<(H, H)> {
    if let Some(words) = valued_of_api(path, id).or_else(|| valued_of_one(path, id)) {
        return Some(words);
    }
    Some(match (path, id) {
        (path, id) if path.starts_with("pool ") && pool_valued(path, id).is_some() => return pool_valued(path, id),
        (_, "directory") => (H::Directory, H::DirValue),
        (_, "color") => (H::Color, H::WhenValue),
        (_, "lang") => (H::Lang, H::LangValue),
        ("why", "port") => (H::WhyPort, H::PortValue),
        (_, "shell") => (H::Shell, H::ShellValue),
        (_, "verbs") => (H::ManVerb, H::VerbValue),
        (_, "to") => (H::ManTo, H::DirValue),
        ("mapping import", "client") => (H::ImportClient, H::NameValue),
        (_, "imports") => (H::ImportFile, H::FileValue),
        (_, "files") => (H::Files, H::FileValue),
        (path, "env_file") if path.starts_with("tunnel ") => (H::ConfigEnvFile, H::FileValue),
        (_, "env_file") => (H::EnvFile, H::FileValue),
        (_, "profiles") => (H::Profiles, H::NameValue),
        (_, "instance") => (H::Instance, H::NameValue),
        (_, "on_conflict") => (H::OnConflict, H::ChoiceValue),
        ("tunnel token create", "ports") => (H::TokenPorts, H::RangeValue),
        (_, "ports") => (H::Ports, H::WishValue),
        ("tunnel token create", "name") => (H::TokenName, H::NameValue),
        ("tunnel token revoke", "token") => (H::TokenToRevoke, H::NameOrIdValue),
        ("scan", "range") => (H::ScanRange, H::RangeValue),
        (_, "range") => (H::Range, H::RangeValue),
        (_, "wait") => (H::Wait, H::SecondsValue),
        (_, "runtime") => (H::Runtime, H::RuntimeValue),
        (_, "bind") => (H::Bind, H::AddressValue),
        (_, "format") => (H::Format, H::FormatValue),
        (_, "reports") => (H::Report, H::ReportValue),
        (_, "free") => (H::Free, H::CountValue),
        (_, "protocol") => (H::Protocol, H::ProtocolValue),
        (_, "process") => (H::Process, H::NameValue),
        (_, "interval") => (H::Interval, H::SecondsValue),
        (_, "service") => (H::Service, H::ServiceValue),
        (_, "tail") => (H::Tail, H::CountValue),
        (path, "config") if path.starts_with("tunnel token ") => (H::TokenConfig, H::FileValue),
        (_, "config") => (H::Config, H::FileValue),
        (_, "server") => (H::Server, H::ServerValue),
        (_, "join") => (H::Join, H::CodeValue),
        (_, "token_file") => (H::TokenFile, H::FileValue),
        (_, "pin") => (H::Pin, H::PinValue),
        (_, "ca") => (H::Ca, H::FileValue),
        (_, "cert") => (H::Cert, H::FileValue),
        (_, "key") => (H::CertKey, H::FileValue),
        ("tunnel client", "name") | (_, "client_name") => (H::ClientName, H::NameValue),
        (_, "exposes") => (H::Expose, H::TargetValue),
        (_, "state") => (H::State, H::DirValue),
        (_, "spec") => (H::Spec, H::FileValue),
        ("become", "command") => (H::RunCommand, H::ProgramValue),
        _ => return None,
    })
}

/// The arguments of the pool, some of which are called like those of other verbs.
fn pool_valued(path: &str, id: &str) -> Option<(H, H)> {
    Some(match (path, id) {
        (_, "state") => (H::PoolState, H::FileValue),
        (_, "store") => (H::PoolStore, H::UrlValue),
        (_, "store_file") => (H::PoolStoreFile, H::FileValue),
        (_, "group") => (H::PoolGroup, H::NameValue),
        (_, "config") => (H::PoolConfig, H::FileValue),
        (_, "wait") => (H::PoolWait, H::SecondsValue),
        ("pool alloc" | "pool run", "wan") => (H::LeaseWan, H::IndexValue),
        (_, "wan") => (H::WhichWan, H::IndexValue),
        (_, "count") => (H::LeaseCount, H::CountValue),
        (_, "range") => (H::LeaseRange, H::RangeValue),
        ("pool renew", "ttl") => (H::RenewTtl, H::LifetimeValue),
        (_, "ttl") => (H::LeaseTtl, H::LifetimeValue),
        (_, "purpose") => (H::LeasePurpose, H::TextValue),
        ("pool alloc", "pid") => (H::LeasePid, H::PidValue),
        (_, "pid") => (H::WhichPid, H::PidValue),
        (_, "id") => (H::WhichId, H::IdValue),
        (_, "ports") => (H::WhichPorts, H::PortValue),
        (_, "listen") => (H::PoolListen, H::ListenValue),
        (_, "command") => (H::RunCommand, H::ProgramValue),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{LogsArgs, ProjectArgs, Verb};
    use super::*;

    fn walk(command: &Command, path: &str, see: &mut dyn FnMut(&Command, &str)) {
        see(command, path);
        for sub in command.get_subcommands() {
            walk(sub, format!("{path} {}", sub.get_name()).trim(), see);
        }
    }

    #[test]
    fn every_verb_and_argument_has_its_text_in_both_languages() {
        for lang in [Lang::En, Lang::ZhCn] {
            walk(&command(lang), "", &mut |command, path| {
                let words = about(path).unwrap_or_else(|| panic!("no text for the verb {path:?}"));
                assert_eq!(command.get_about().map(ToString::to_string), Some(words.say(lang)), "{path:?}");
                for arg in command.get_arguments() {
                    let id = arg.get_id().as_str();
                    let words = argument(path, id).unwrap_or_else(|| panic!("no text for {id} of {path:?}"));
                    assert_eq!(arg.get_help().map(ToString::to_string), Some(words.help.say(lang)), "{id} of {path:?}");
                    let takes_values = arg.get_num_args().is_some_and(|count| count.takes_values())
                        || matches!(arg.get_action(), clap::ArgAction::Set | clap::ArgAction::Append);
                    assert_eq!(words.value.is_some(), takes_values, "value name of {id} of {path:?}");
                }
            });
        }
    }

    #[test]
    fn chinese_help_holds_no_english_prose() {
        let english_words = ["the ", "Print", "Options", "Commands", "Usage", "default:", "possible", "Arguments"];
        let mut whole = command(Lang::ZhCn);
        whole.build();
        walk(&whole, "", &mut |command, path| {
            let page = command.clone().render_long_help().to_string();
            for word in english_words {
                assert!(!page.contains(word), "{word:?} in the help of {path:?}:\n{page}");
            }
        });
    }

    #[test]
    fn the_short_flag_of_logs_follows_and_that_of_other_verbs_names_a_file() {
        let parsed = |line: &str| Arguments::try_parse_from(line.split_whitespace()).map(|arguments| arguments.verb);
        assert!(matches!(
            parsed("portwright logs -f --file a.yaml"),
            Ok(Verb::Logs(LogsArgs { follow: true, project: ProjectArgs { files, .. }, .. })) if files.len() == 1
        ));
        assert!(
            matches!(parsed("portwright status -f a.yaml"), Ok(Verb::Status(status)) if status.project.files.len() == 1)
        );
    }

    #[test]
    fn the_derived_tree_is_one_that_clap_accepts() {
        command(Lang::En).debug_assert();
        command(Lang::ZhCn).debug_assert();
    }
}
