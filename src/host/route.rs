//! By which address other machines are likely to reach this one, and which one an interface has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses of the documentation (RFC 5737, RFC 3849), which are nobody's: the system only looks up its route to them.
const FAR_AWAY: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
];

/// Any port; nothing is sent to it.
const ANY_PORT: u16 = 9;

/// Returns the address that this machine uses towards the internet; `None` where it has no route there. Nothing is
/// sent: connecting a UDP socket only chooses the route.
#[must_use]
pub fn outward_address() -> Option<IpAddr> {
    FAR_AWAY.into_iter().find_map(|(here, there)| {
        let socket = UdpSocket::bind((here, 0)).ok()?;
        socket.connect(SocketAddr::new(there, ANY_PORT)).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    })
}

/// Returns the address of an interface: an IPv4 one before an IPv6 one, and none that is good for its own link alone.
#[must_use]
pub fn interface_address(name: &str) -> Option<IpAddr> {
    let usable = |address: &IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    addresses_of(name).into_iter().filter(usable).min_by_key(|address| (address.is_ipv6(), *address))
}

/// The addresses of an interface of this network namespace, whatever `/sys` shows.
#[cfg(target_os = "linux")]
fn addresses_of(name: &str) -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let ours =
        interfaces.filter(|interface| interface.interface_name == name).filter_map(|interface| interface.address);
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    ours.filter_map(ip).collect()
}

/// The addresses of an interface.
#[cfg(not(target_os = "linux"))]
fn addresses_of(name: &str) -> Vec<IpAddr> {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else { return Vec::new() };
    let found = networks.get(std::ffi::OsStr::new(name));
    found.map(|network| network.ip_networks().iter().map(|network| network.addr).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_loopback_interface_has_its_address_and_an_unknown_one_has_none() {
        assert_eq!(interface_address("lo"), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(interface_address("no such interface"), None);
    }

    #[test]
    fn the_outward_address_is_one_of_this_machine() {
        if let Some(address) = outward_address() {
            assert!(!address.is_loopback());
            assert!(UdpSocket::bind((address, 0)).is_ok());
        }
    }
}
