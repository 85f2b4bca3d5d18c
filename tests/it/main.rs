//! The one integration binary: the real program against real files, sockets, terminals and engines.

mod server;
