//! The catalogue: every text that a person reads, in English and Simplified Chinese.
//!
//! A message is a value with fields, not a string: rooms return messages, and `cli` renders them in the language of
//! the person. Each entry of [`catalogue!`] takes both texts, so a missing translation does not compile. Codes, ids
//! and JSON fields are never translated and do not live here.

mod macros;

pub mod bench;
pub mod cli;
pub mod daemon;
pub mod dashboard;
pub mod deploy;
pub mod disk;
pub mod docker;
pub mod doctor;
pub mod dotenv;
pub mod help;
pub mod host;
pub mod import;
pub mod instance;
pub mod lease;
pub mod plan;
pub mod prompt;
pub mod prose;
pub mod text;
pub mod trust;
pub mod tune;
pub mod tunnel;
pub mod verbs;
pub mod why;

pub use macros::Say;
pub(crate) use macros::catalogue;

/// A language that Portwright speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    ZhCn,
}

impl Lang {
    /// Reads a language tag or a POSIX locale name (`zh-CN`, `zh_CN.UTF-8`, `en`); `None` when it names neither language.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_', '.', '@']).next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "zh" => Some(Self::ZhCn),
            "en" | "c" | "posix" => Some(Self::En),
            _ => None,
        }
    }
}

macro_rules! message {
    ($($(#[$meta:meta])* $variant:ident($words:ty)),* $(,)?) => {
        /// Any message of the catalogue.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message {
            $($(#[$meta])* $variant($words)),*
        }

        impl Say for Message {
            fn say(&self, lang: Lang) -> String {
                match self { $(Self::$variant(words) => words.say(lang)),* }
            }
        }

        $(impl From<$words> for Message {
            fn from(words: $words) -> Self { Self::$variant(words) }
        })*
    };
}

message! {
    /// Words of the load test.
    Bench(bench::BenchWords),
    /// Words of the command line.
    Cli(cli::CliWords),
    /// Words of services of the system.
    Daemon(daemon::DaemonWords),
    /// Words of the stages of a deployment.
    Deploy(deploy::DeployWords),
    /// Words about files, locks and the journal.
    Disk(disk::DiskWords),
    /// Words about the container engine.
    Docker(docker::DockerWords),
    /// Words of the diagnosis.
    Doctor(doctor::DoctorWords),
    /// Words about `.env` files and the variables in them.
    Dotenv(dotenv::DotenvWords),
    /// Words about the machine.
    Host(host::HostWords),
    /// Words about mappings from other programs' files.
    Import(import::ImportWords),
    /// Words about instances.
    Instance(instance::InstanceWords),
    /// Words about leases.
    Lease(lease::LeaseWords),
    /// Words about judgements on ports.
    Plan(plan::PlanWords),
    /// Words of questions and their answers.
    Prompt(prompt::PromptWords),
    /// Words about `.env` and compose files.
    Text(text::TextWords),
    /// Words about certificates, tokens and trust.
    Trust(trust::TrustWords),
    /// Words about settings of the system's network.
    Tune(tune::TuneWords),
    /// Words about the bundled tunnel server.
    Tunnel(tunnel::TunnelWords),
    /// Words of the verbs.
    Verbs(verbs::VerbWords),
    /// Words about one port.
    Why(why::WhyWords),
}

impl std::fmt::Display for Message {
    /// Writes the English text, for logs and for tests.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.say(Lang::En))
    }
}

/// Several messages in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOf(pub Vec<Message>);

impl Say for ListOf {
    fn say(&self, lang: Lang) -> String {
        let separator = match lang {
            Lang::En => "; ",
            Lang::ZhCn => "；",
        };
        self.0.iter().map(|message| message.say(lang)).collect::<Vec<_>>().join(separator)
    }
}
