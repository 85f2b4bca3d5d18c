//! The machine: which sockets hold which ports, whose they are, what a real bind says, and the rules of the system.
//!
//! Every system has one file with the same functions (`linux`, `macos`, `windows`). Fetchers are small and exist on
//! their own system only; parsers are pure and are tested on every system from captured text.

mod attribute;
mod child;
mod files;
mod hand_on;
mod health;
mod identity;
mod init;
mod limits;
mod link;
#[cfg(not(target_os = "macos"))]
mod netstat;
mod notify;
mod probe;
mod process;
mod route;
mod rules;
mod signals;
mod sockets;
mod splice;
mod standing;
mod tcp_options;
mod tool;
pub mod tuning;
mod waker;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;
#[cfg(any(windows, test))]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(windows)]
use windows as system;

pub use attribute::attribute;
pub use child::stand_in;
pub use files::{read_secret, read_text};
pub use hand_on::{Listening, become_program, handing_on, listen};
pub use health::{firewall_health, machine_health, network_health, services_health};
pub use identity::{
    Process, boot_id, in_container, ipv6_available, machine_name, os, privileged_user, process_alive, process_of,
    process_start,
};
pub use init::{
    Folders, Job, Manager, Scope, Standing, Stopping, Word, close_folder, disable, enable, forget, log_command,
    manager_answers, run_below_manager, service_manager, standing, start, stop,
};
pub use limits::raise_open_files;
pub use link::{let_link_wait, watch_link};
pub use notify::Notifier;
pub use probe::{bind_for_later, probe};
pub use process::{ProcessMark, detach, kill, terminate};
pub use route::{interface_address, outward_address};
pub use rules::{PortRules, Redirect, note_on, port_rules, redirects};
pub use signals::{StopSignals, open_to_others};
pub use sockets::{Look, Owners, sockets};
pub use splice::Pipe;
pub use standing::{ProcessSight, ancestors, boot_clock, caller, namespaces, process_sight, surely_gone};
pub use tcp_options::{lengthen_backlog, prepare_accepted, prepare_connected, prepare_listener};
pub use waker::Waker;
