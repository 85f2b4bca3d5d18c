//! Nouns: plain values and their invariants. No files, sockets, clock, environment, printing or async here.

mod diagnosis;
mod facts;
mod port;
mod project;
mod report;
mod secret;

pub use diagnosis::{
    EngineAnswer, EngineFailure, EngineFault, EngineSight, Finding, Fix, FolderSight, Leftovers, Observation, Outcome,
    PortSight, ProjectSight, Severity, Sight, Told, Trouble,
};
pub use facts::{
    ComposeIdentity, Container, ContainerRef, ContainerState, Facts, Os, Owner, ProbeOutcome, Promise, Published, Seen,
    Socket, SocketState, Unseen,
};
pub use port::{Endpoint, Port, PortRange, Protocol};
pub use project::{
    EditRefusal, FileEdit, Lever, Mapping, MappingId, Move, Project, ProjectService, PublishedPort, SourceSpot, Use,
};
pub use report::{Binding, BindingState, Holder, HolderKind};
pub use secret::Secret;
