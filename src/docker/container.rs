//! The life of our own containers: created, replaced, rolled back, started, stopped and removed.
//!
//! A changed service is replaced in steps that can be taken back: the old container is stopped and parked under the
//! name `NAME-old`, and is removed by [`Engine::settle`] when the new one has proved itself.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptions, RemoveVolumeOptions, RenameContainerOptions, StartContainerOptions,
    StopContainerOptions, UploadToContainerOptions,
};

use super::engine::{CALL_DEADLINE, Engine};
use super::failure::{Failure, PortFailure, PortTaken, classify, within};
use super::image::header;
use super::reply::Inspected;
use super::service::{FILES_FOLDER, ServiceFile, ServiceSpec};
use super::{LABEL_CONFIG_HASH, LABEL_DIRECTORY, USER_ID};
use crate::error::{Error, ErrorKind, Result};
use crate::words::docker::DockerWords;

/// How long a start or a stop may take: 500 published ports take 17 s to start and 35 s to stop on Docker 20.10.
const LIFE_DEADLINE: Duration = Duration::from_secs(110);

/// How long a service may take to end after SIGTERM before it is killed, in seconds.
const STOP_GRACE: i32 = 10;

/// What happens during a deployment, for showing progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The old container is being stopped.
    Stopping,
    /// The new container is being created.
    Creating,
    /// The container is being started.
    Starting,
    /// The new container failed, and the old one is being brought back.
    RollingBack,
}

/// What a deployment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the same container runs.
    Unchanged,
    /// It started the same container.
    Started,
    /// It created and started a container.
    Created,
    /// It put a new container in the place of an old one.
    Recreated,
}

/// A deployed container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image's tag.
    pub image: String,
    /// What was done.
    pub action: Action,
    /// The parked predecessor, until [`Engine::settle`] or [`Engine::roll_back`].
    pub previous: Option<Previous>,
}

/// A container that was replaced and is kept until its successor has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Its id.
    pub id: String,
    /// Whether it ran.
    pub ran: bool,
}

/// Why a deployment failed. Nothing of it is left behind, and the container that ran before runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployError {
    /// A port was taken at the last moment; with another port it may work.
    PortTaken(PortTaken),
    /// Anything else.
    Other(Error),
}

impl<E: Into<Error>> From<E> for DeployError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// A container of ours as it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) id: String,
    hash: Option<String>,
    directory: PathBuf,
    running: bool,
    never_started: bool,
}

impl Found {
    fn read(details: &Inspected) -> Option<Self> {
        let config = details.config.as_ref()?;
        let labels = config.labels.as_ref()?;
        let state = details.state.as_ref();
        Some(Self {
            id: details.id.clone()?,
            hash: labels.get(LABEL_CONFIG_HASH).cloned(),
            directory: PathBuf::from(labels.get(LABEL_DIRECTORY)?),
            running: state.and_then(|state| state.running).unwrap_or(false),
            never_started: state.and_then(|state| state.status.as_deref()) == Some("created"),
        })
    }
}

impl Engine {
    /// Brings `spec` up: leaves the same running container alone, starts the same stopped one, creates a missing one
    /// and replaces a changed one.
    ///
    /// Does not wait for health: after [`Engine::wait_healthy`], call [`Engine::settle`] or [`Engine::roll_back`].
    /// A container or volume of that name that is not of this deployment is `Refused` and left alone.
    pub async fn deploy(&self, spec: &ServiceSpec, progress: &(dyn Fn(Event) + Sync)) -> Result<Deployed, DeployError> {
        check_name(&spec.name)?;
        let current = self.recover(spec).await?;
        let mut made = Vec::new();
        for volume in &spec.volumes {
            if self.ensure_volume(&volume.name, &spec.directory).await? {
                made.push(&volume.name);
            }
        }
        let (_, hash) = spec.body(self.identity());
        let done = |id: String, action: Action, previous: Option<Previous>| Deployed {
            id,
            name: spec.name.clone(),
            image: spec.image.tag.clone(),
            action,
            previous,
        };
        match current {
            Some(found) if found.hash.as_deref() == Some(&hash) && found.running => {
                Ok(done(found.id, Action::Unchanged, None))
            }
            Some(found) if found.hash.as_deref() == Some(&hash) && !found.never_started => {
                progress(Event::Starting);
                self.start_container(&found.id).await.map_err(start_error)?;
                Ok(done(found.id, Action::Started, None))
            }
            Some(found) => {
                let previous = self.park(&found, spec, progress).await?;
                match self.create_and_start(spec, progress).await {
                    Ok(id) => Ok(done(id, Action::Recreated, Some(previous))),
                    Err(error) => {
                        progress(Event::RollingBack);
                        self.unpark(&previous, &spec.name).await?;
                        Err(error)
                    }
                }
            }
            None => match self.create_and_start(spec, progress).await {
                Ok(id) => Ok(done(id, Action::Created, None)),
                Err(error) => {
                    for volume in made {
                        self.remove_volume(volume).await.map_err(|left| left.with_kind(ErrorKind::Partial))?;
                    }
                    Err(error)
                }
            },
        }
    }

    /// Removes the predecessor of a deployment that has proved itself.
    pub async fn settle(&self, deployed: &Deployed) -> Result<()> {
        match &deployed.previous {
            Some(previous) => self.discard(&previous.id).await,
            None => Ok(()),
        }
    }

    /// Takes a deployment back: the new container is removed, and its predecessor runs again if it ran before. A
    /// container that was merely started is stopped again.
    pub async fn roll_back(&self, deployed: &Deployed) -> Result<()> {
        match (deployed.action, &deployed.previous) {
            (Action::Unchanged, _) => Ok(()),
            (Action::Started, _) => self.stop(&deployed.id).await,
            (Action::Created | Action::Recreated, previous) => {
                self.discard(&deployed.id).await?;
                match previous {
                    Some(previous) => self.unpark(previous, &deployed.name).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Starts a container of ours.
    pub async fn start(&self, name: &str) -> Result<(), DeployError> {
        let found = self.owned(name).await?;
        self.start_container(&found.id).await.map_err(start_error)
    }

    /// Stops a container of ours by SIGTERM, and by SIGKILL after 10 s; one that does not run is fine.
    pub async fn stop(&self, name: &str) -> Result<()> {
        let found = self.owned(name).await?;
        self.stop_container(&found.id).await
    }

    /// Removes a container of ours, running or not, with its files; named volumes stay. One that is gone is fine.
    pub async fn remove(&self, name: &str) -> Result<()> {
        if self.find(name).await?.is_none() {
            return Ok(());
        }
        let found = self.owned(name).await?;
        self.stop_container(&found.id).await?;
        self.discard(&found.id).await
    }

    /// Removes a volume of ours with all its data; one that is gone is fine.
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        const CALL: &str = "DELETE /volumes/{name}";
        check_name(name)?;
        match self.volume_owner(name).await? {
            None => Ok(()),
            Some(None) => Err(Error::new(ErrorKind::Refused, DockerWords::NotOurs { name: name.to_owned() })),
            Some(Some(_)) => {
                let options = None::<RemoveVolumeOptions>;
                match within(CALL, CALL_DEADLINE, self.api.remove_volume(name, options)).await {
                    Err(failure) if !failure.is_not_found() => Err(failure.into()),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Returns the details of a container; `None` when there is none of that name or id.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Inspected>> {
        check_name(name)?;
        match self.inspect(name).await {
            Ok(details) => Ok(Some(details)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Returns a container of ours; anything else is refused.
    pub(super) async fn owned(&self, name: &str) -> Result<Found> {
        let named = name.to_owned();
        match self.find(name).await? {
            None => Err(no_container(name)),
            Some(details) => Found::read(&details)
                .ok_or_else(|| Error::new(ErrorKind::Refused, DockerWords::NotOurs { name: named })),
        }
    }

    /// Returns the container `name` of this deployment; one of somebody else is refused.
    async fn of_deployment(&self, name: &str, directory: &Path) -> Result<Option<Found>> {
        let Some(details) = self.find(name).await? else { return Ok(None) };
        let name = name.to_owned();
        let words = match Found::read(&details) {
            Some(found) if found.directory == directory => return Ok(Some(found)),
            Some(other) => {
                DockerWords::NameTakenBy { name: name.clone(), directory: other.directory.display().to_string() }
            }
            None => DockerWords::NameTaken { name: name.clone() },
        };
        Err(Error::new(ErrorKind::Refused, words).hint(DockerWords::NameTakenHint { name }))
    }

    /// Returns the container that a deployment starts from, after clearing up behind one that was interrupted: a
    /// parked container without a successor, or with one that never started, gets its name back.
    async fn recover(&self, spec: &ServiceSpec) -> Result<Option<Found>> {
        let current = self.of_deployment(&spec.name, &spec.directory).await?;
        let Some(parked) = self.of_deployment(&parked_name(&spec.name), &spec.directory).await? else {
            return Ok(current);
        };
        match current {
            Some(current) if !current.never_started => {
                self.discard(&parked.id).await?;
                return Ok(Some(current));
            }
            Some(unfinished) => self.discard(&unfinished.id).await?,
            None => {}
        }
        self.rename(&parked.id, &spec.name).await?;
        Ok(Some(parked))
    }

    async fn park(&self, old: &Found, spec: &ServiceSpec, progress: &(dyn Fn(Event) + Sync)) -> Result<Previous> {
        progress(Event::Stopping);
        self.stop_container(&old.id).await?;
        let previous = Previous { id: old.id.clone(), ran: old.running };
        if let Err(error) = self.rename(&old.id, &parked_name(&spec.name)).await {
            self.unpark(&previous, &spec.name).await?;
            return Err(error);
        }
        Ok(previous)
    }

    async fn unpark(&self, previous: &Previous, name: &str) -> Result<()> {
        let back = async {
            self.rename(&previous.id, name).await?;
            if previous.ran {
                self.start_container(&previous.id).await?;
            }
            Ok::<(), Error>(())
        };
        back.await.map_err(|error| {
            let (name, old) = (name.to_owned(), parked_name(name));
            let words = DockerWords::RollBackFailed { name: old.clone(), reason: error.to_string() };
            Error::new(ErrorKind::Partial, words).hint(DockerWords::RollBackHint { name, old })
        })
    }

    async fn create_and_start(
        &self,
        spec: &ServiceSpec,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<String, DeployError> {
        progress(Event::Creating);
        let id = self.create(spec).await?;
        let started = async {
            if !spec.files.is_empty() {
                self.upload(&id, &spec.files).await?;
            }
            progress(Event::Starting);
            self.start_container(&id).await.map_err(start_error)
        };
        if let Err(error) = started.await {
            let cleared = self.discard(&id).await;
            cleared.map_err(|left| left.with_kind(ErrorKind::Partial))?;
            return Err(error);
        }
        Ok(id)
    }

    async fn create(&self, spec: &ServiceSpec) -> Result<String> {
        let (body, _) = spec.body(self.identity());
        let options = CreateContainerOptions { name: Some(spec.name.clone()), ..Default::default() };
        match within("POST /containers/create", CALL_DEADLINE, self.api.create_container(Some(options), body)).await {
            Ok(created) => Ok(created.id),
            Err(failure) => Err(match failure.answer() {
                Some((404, _)) => Error::new(ErrorKind::Refused, DockerWords::NoImage { tag: spec.image.tag.clone() }),
                Some((409, _)) => {
                    let name = spec.name.clone();
                    Error::new(ErrorKind::Refused, DockerWords::NameTaken { name: name.clone() })
                        .hint(DockerWords::NameTakenHint { name })
                }
                _ => failure.into(),
            }),
        }
    }

    /// Puts the files into the container's own volume on [`FILES_FOLDER`]. The engine allows this on a read-only root
    /// because a volume is no part of it; a container that never ran is fine too.
    async fn upload(&self, id: &str, files: &[ServiceFile]) -> Result<()> {
        const CALL: &str = "PUT /containers/{id}/archive";
        let archive = files_archive(files).map_err(|error| Failure::Bad(CALL, error.into()))?;
        let options = UploadToContainerOptions { path: FILES_FOLDER.to_owned(), ..Default::default() };
        let sending = self.api.upload_to_container(id, Some(options), bollard::body_full(archive.into()));
        Ok(within(CALL, CALL_DEADLINE, sending).await?)
    }

    async fn start_container(&self, id: &str) -> Result<(), Failure> {
        let starting = self.api.start_container(id, None::<StartContainerOptions>);
        within("POST /containers/{id}/start", LIFE_DEADLINE, starting).await
    }

    async fn stop_container(&self, id: &str) -> Result<()> {
        let options = StopContainerOptions { t: Some(STOP_GRACE), ..Default::default() };
        let stopping = self.api.stop_container(id, Some(options));
        match within("POST /containers/{id}/stop", LIFE_DEADLINE, stopping).await {
            Err(failure) if !failure.is_not_found() => Err(failure.into()),
            _ => Ok(()),
        }
    }

    async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let renaming = self.api.rename_container(id, RenameContainerOptions { name: name.to_owned() });
        match within("POST /containers/{id}/rename", CALL_DEADLINE, renaming).await {
            Err(failure) if failure.answer().is_some_and(|(_, text)| text.contains("same name")) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// Removes a container with its anonymous volumes, killing it if it runs; one that is gone is fine.
    async fn discard(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        let removing = self.api.remove_container(id, Some(options));
        match within("DELETE /containers/{id}", LIFE_DEADLINE, removing).await {
            Err(failure) if !failure.is_not_found() => Err(failure.into()),
            _ => Ok(()),
        }
    }

    /// Returns the deployment that a volume belongs to; `None` without a volume, `Some(None)` when it is not ours.
    async fn volume_owner(&self, name: &str) -> Result<Option<Option<String>>> {
        match within("GET /volumes/{name}", CALL_DEADLINE, self.api.inspect_volume(name)).await {
            Ok(volume) => Ok(Some(volume.labels.get(LABEL_DIRECTORY).cloned())),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Makes the volume of a deployment unless it is there; tells whether it did.
    async fn ensure_volume(&self, name: &str, directory: &Path) -> Result<bool> {
        check_name(name)?;
        let directory = directory.display().to_string();
        match self.volume_owner(name).await? {
            Some(Some(owner)) if owner == directory => Ok(false),
            Some(_) => {
                let name = name.to_owned();
                Err(Error::new(ErrorKind::Refused, DockerWords::VolumeTaken { name: name.clone() })
                    .hint(DockerWords::VolumeTakenHint { name }))
            }
            None => {
                let request = VolumeCreateRequest {
                    name: Some(name.to_owned()),
                    labels: Some(HashMap::from([(LABEL_DIRECTORY.to_owned(), directory)])),
                    ..Default::default()
                };
                within("POST /volumes/create", CALL_DEADLINE, self.api.create_volume(request)).await?;
                Ok(true)
            }
        }
    }
}

pub(super) fn no_container(name: &str) -> Error {
    Error::new(ErrorKind::Refused, DockerWords::NoContainer { name: name.to_owned() })
}

fn parked_name(name: &str) -> String {
    format!("{name}-old")
}

/// Refuses what engines refuse as a name (and what would be another path of the API): `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
fn check_name(name: &str) -> Result<()> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Refused, DockerWords::BadName { name: name.to_owned() }))
}

fn start_error(failure: Failure) -> DeployError {
    match failure.answer().and_then(|(_, text)| classify(text)) {
        Some(PortFailure::Taken(taken)) => DeployError::PortTaken(taken),
        Some(PortFailure::NotLocal(found)) => {
            let address = found.address.map(|ip| ip.to_string()).unwrap_or_default();
            let words = DockerWords::AddressNotLocal { address, text: found.text };
            DeployError::Other(Error::new(ErrorKind::Refused, words).hint(DockerWords::AddressNotLocalHint))
        }
        None => DeployError::Other(failure.into()),
    }
}

fn files_archive(files: &[ServiceFile]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = header(tar::EntryType::Regular, 0o440, file.contents.len());
        header.set_gid(USER_ID);
        tar.append_data(&mut header, &file.name, file.contents.as_slice())?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_place_in_the_api_are_refused() {
        for name in ["", "-a", ".", "..", "a/b", "../containers", "a b", "a?x=1", "a#b", "é"] {
            assert_eq!(check_name(name).expect_err(name).kind(), ErrorKind::Refused);
        }
        for name in ["a", "portwright-server", "0.b_c-D"] {
            check_name(name).expect(name);
        }
    }

    #[test]
    fn files_are_for_the_service_to_read_and_for_nobody_to_write() {
        let files = [ServiceFile { name: "key".to_owned(), contents: b"k".to_vec() }];
        let archive = files_archive(&files).expect("an archive");
        let mut tar = tar::Archive::new(archive.as_slice());
        let entry = tar.entries().expect("entries").next().expect("one").expect("readable");
        let header = entry.header();
        assert_eq!((header.mode().ok(), header.uid().ok(), header.gid().ok()), (Some(0o440), Some(0), Some(USER_ID)));
    }
}
