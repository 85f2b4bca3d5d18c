//! The machine around the project: memory and limits, names and loopback, firewall, services, the environment.

use super::{apart, late};
use crate::host;
use crate::model::{FirewallSight, MachineSight, NetworkSight, RedirectSight, Seen, ServiceSight, Sight, Told};

pub(super) async fn machine() -> Sight<MachineSight> {
    apart(host::machine_health).await.map_or_else(late, Sight::Known)
}

pub(super) async fn network() -> Sight<NetworkSight> {
    apart(host::network_health).await.map_or_else(late, Sight::Known)
}

pub(super) async fn firewall() -> Sight<FirewallSight> {
    apart(host::firewall_health).await.unwrap_or_else(late)
}

pub(super) async fn services() -> Sight<Vec<ServiceSight>> {
    apart(host::services_health).await.unwrap_or_else(late)
}

pub(super) async fn redirects() -> Sight<Vec<RedirectSight>> {
    match apart(host::redirects).await {
        Some(Seen::Known(found)) => {
            let of = |found: host::Redirect| RedirectSight {
                protocol: found.protocol,
                first: found.ports.first(),
                last: found.ports.last(),
                to: found.to,
            };
            Sight::Known(found.into_iter().map(of).collect())
        }
        Some(Seen::Unknown(why)) => Sight::Unknown(Told::from(&why)),
        None => late(),
    }
}
