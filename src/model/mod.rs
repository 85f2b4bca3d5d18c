//! Nouns: plain values and their invariants. No files, sockets, clock, environment, printing or async here.

mod diagnosis;
mod facts;
mod moment;
mod port;
mod project;
mod report;
mod secret;
mod tuning;

pub use diagnosis::{
    ClientSight, ClockSight, ComposeSight, ContainerSight, EngineAnswer, EngineFailure, EngineFault, EngineSight,
    Finding, FirewallSight, Fix, FolderSight, HealthSight, Leftovers, MachineSight, MappingSight, NetworkSight,
    Observation, Outcome, PoolSight, PortSight, ProjectSight, RedirectSight, RunSight, ServerSight, ServiceSight,
    Severity, Sight, Told, Trouble, WanSight,
};
pub use facts::{
    ComposeIdentity, Container, ContainerRef, ContainerState, Facts, Os, Owner, ProbeOutcome, Promise, Published, Seen,
    Socket, SocketState, Unseen,
};
pub use moment::utc;
pub use port::{Endpoint, Port, PortRange, Protocol};
pub use project::{
    EditRefusal, FileEdit, Lever, Mapping, MappingId, Move, Project, ProjectService, PublishedPort, SourceSpot, Use,
};
pub use report::{Binding, BindingState, Holder, HolderKind};
pub use secret::Secret;
pub use tuning::{Observed, TuneSigns};
