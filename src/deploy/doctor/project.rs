//! The project of the directory: its files as they are read, and its ports as `check` judges them.

use super::{in_time, shown, unknown};
use crate::deploy::order::ProjectOrder;
use crate::deploy::{LoadedProject, ProjectKind, check, read};
use crate::disk::Dirs;
use crate::error::{Error, Result};
use crate::host;
use crate::model::{Binding, Mapping, PortSight, Project, ProjectSight, Sight, Told, Trouble};
use crate::plan::{Policy, PortPlan, Wishes};
use crate::words::ListOf;
use crate::words::doctor::DoctorWords;

pub(super) async fn look(order: &ProjectOrder, dirs: Option<&Dirs>) -> Sight<ProjectSight> {
    match read(order) {
        Ok(None) => Sight::Nothing,
        Ok(Some(loaded)) => Sight::Known(Box::pin(of(order, &loaded, dirs)).await),
        Err(error) => {
            let trouble = Some(trouble(&error));
            let ports = unknown(error.message());
            let directory = shown(&order.directory);
            Sight::Known(ProjectSight { directory, is_compose: true, trouble, ports, lints: Vec::new() })
        }
    }
}

async fn of(order: &ProjectOrder, loaded: &LoadedProject, dirs: Option<&Dirs>) -> ProjectSight {
    let wishes = Wishes {
        policy: Policy::Keep,
        named: Vec::new(),
        range: None,
        strict: false,
        override_file: false,
        answers: std::collections::BTreeMap::new(),
    };
    let looked = Box::pin(async { judged(check(order, &wishes, dirs).await) });
    let project = &loaded.project;
    ProjectSight {
        directory: shown(&project.directory),
        is_compose: loaded.kind == ProjectKind::Compose,
        trouble: None,
        lints: project.warnings.iter().map(Told::from).collect(),
        ports: in_time(looked).await,
    }
}

fn judged(checked: Result<(LoadedProject, PortPlan)>) -> Sight<Vec<PortSight>> {
    match checked {
        Ok((loaded, plan)) => {
            let rules = host::port_rules();
            let of = |binding: &Binding| {
                let mapping = loaded.project.mappings.get(binding.mapping.0)?;
                Some(port(binding, mapping, &loaded.project, &rules))
            };
            Sight::Known(plan.bindings.iter().filter_map(of).collect())
        }
        Err(error) => unknown(error.message()),
    }
}

fn port(binding: &Binding, mapping: &Mapping, project: &Project, rules: &host::PortRules) -> PortSight {
    let file = mapping.source.file.strip_prefix(&project.directory).unwrap_or(&mapping.source.file);
    let number = binding.port;
    let is_reserved = number.is_some_and(|port| rules.reserved.iter().any(|range| range.contains(port)));
    let in_range = rules.ephemeral.filter(|range| number.is_some_and(|port| range.contains(port)));
    PortSight {
        name: binding.name(mapping),
        port: number,
        container_port: binding.container_port,
        protocol: mapping.protocol,
        host_ip: mapping.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        state: binding.state.name().to_owned(),
        reason: binding.reason.as_ref().map(Told::from),
        place: format!("{}:{}", file.display(), mapping.source.line),
        at_risk: in_range.filter(|_| !is_reserved),
    }
}

/// What an error says, its place included, with the way out.
pub(super) fn trouble(error: &Error) -> Trouble {
    let parts = std::iter::once(error.message()).chain(error.places());
    let what = ListOf(parts.cloned().collect());
    Trouble { what: Told::from(&DoctorWords::Together { parts: what }.into()), remedy: error.way_out().map(Told::from) }
}
