//! The pool of port leases, as it can be seen without its lock.

use std::path::{Path, PathBuf};

use super::project::trouble;
use super::{apart, late, shown};
use crate::deploy::order::ProjectOrder;
use crate::disk::Dirs;
use crate::error::Result;
use crate::lease::{Options, Pool, Usage, Wan};
use crate::model::{PoolSight, Port, Sight, WanSight};

/// The file that names WANs.
const CONFIG: &str = "pool.toml";

/// The longest configuration that is read, in bytes; one with a hundred WANs has a tenth of it.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

pub(super) async fn look(order: &ProjectOrder, dirs: Option<&Dirs>) -> Sight<PoolSight> {
    let Some(dirs) = dirs else { return Sight::Nothing };
    let path = dirs.pool();
    let config = [order.directory.join(CONFIG), dirs.config.join(CONFIG)].into_iter().find(|path| path.is_file());
    if !path.exists() && config.is_none() {
        return Sight::Nothing;
    }
    apart(move || of(&path, config)).await.map_or_else(late, Sight::Known)
}

fn of(path: &Path, config: Option<PathBuf>) -> PoolSight {
    let wans = config.map_or_else(|| Ok(Wan::defaults()), |config| wans(&config));
    let config_trouble = wans.as_ref().err().map(trouble);
    let seen = PoolSight { path: shown(path), config_trouble, ..PoolSight::default() };
    if !path.exists() {
        return seen;
    }
    let options = Options { wans: wans.unwrap_or_else(|_| Wan::defaults()), on_weak_disk: true, ..Options::default() };
    match Pool::open_with(path, options).and_then(|pool| counted(&pool)) {
        Ok((leases, over_in_use, wans, is_damaged)) => PoolSight { leases, is_damaged, over_in_use, wans, ..seen },
        Err(error) => PoolSight { trouble: Some(trouble(&error)), ..seen },
    }
}

fn counted(pool: &Pool) -> Result<(usize, Vec<Port>, Vec<WanSight>, bool)> {
    let looked = pool.looked_at(pool.view()?);
    let over = looked.iter().filter(|looked| looked.is_over && looked.used_by.is_some());
    // Where the sockets cannot be listed, what is left of each range is not known.
    let usage = pool.usage_at_a_glance().map(|(usage, _)| usage).unwrap_or_default();
    let wan = |usage: &Usage| WanSight { index: usage.wan.index, total: usage.total, free: usage.free };
    let over = over.map(|looked| looked.lease.port).collect();
    Ok((looked.len(), over, usage.iter().map(wan).collect(), pool.is_damaged()?))
}

fn wans(path: &Path) -> Result<Vec<Wan>> {
    use crate::error::{Error, ErrorKind};
    use crate::words::lease::LeaseWords;
    let unread =
        |why: String| Error::new(ErrorKind::Missing, LeaseWords::PoolTomlUnread { path: path.to_path_buf(), why });
    let size = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?.len();
    if size > CONFIG_BYTES_MAX {
        return Err(unread(format!("{size} > {CONFIG_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
    Wan::read(&text).map_err(|error| error.context(LeaseWords::InFile { path: path.to_path_buf() }))
}
