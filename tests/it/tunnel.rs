//! The tunnel as its users meet it: the real server, the real client, and a network between them that fails on demand.

/// Makes each of these functions a test over every link: plaintext, TLS, and TLS where no second connection can be made.
macro_rules! over_every_link {
    ($($name:ident),+ $(,)?) => {
        mod over_plaintext {
            $(#[test] fn $name() { super::$name(super::Link::Plain); })+
        }
        mod over_tls {
            $(#[test] fn $name() { super::$name(super::Link::Tls); })+
        }
        mod over_one_connection {
            $(#[test] fn $name() { super::$name(super::Link::Single); })+
        }
    };
}

/// Makes each of these functions a test over plaintext and over TLS.
macro_rules! over_both_links {
    ($($name:ident),+ $(,)?) => {
        mod over_plaintext {
            $(#[test] fn $name() { super::$name(super::Link::Plain); })+
        }
        mod over_tls {
            $(#[test] fn $name() { super::$name(super::Link::Tls); })+
        }
    };
}

mod abuse;
mod access;
mod dashboard;
mod datagrams;
mod exhaustion;
mod figures;
mod integrity;
mod legacy;
mod limits;
mod links;
mod postgres;
mod restarts;
mod running;
mod secrets;
mod stalls;
mod streams;
mod targets;
mod toxic;
mod v1_peer;
