//! The one integration binary: the real program against real files, sockets, terminals and engines.

#[cfg(test)]
mod compose_corpus;
mod dotenv_corpus;
