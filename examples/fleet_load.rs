//! Simulates a fleet on a shared store: `fleet_load URL GROUPS HOSTS LEASES AT_A_TIME`. Every host has a connection of its
//! own and leases one port at a time; ports are not bound, because the hosts are not there (`simulated_host`). Prints
//! what taking cost, waits for a line, gives everything back and prints what that cost. Started by
//! `scripts/bench-fleet.sh`.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portwright::lease::{Options, Pool, Release, Request, Wan, WanAddress};
use portwright::model::{Port, Secret};

/// The ports of each group, below those of outgoing connections.
const RANGE: &str = "20000-31999";

/// How long a lease of the simulation lasts: longer than all of it.
const TTL: Duration = Duration::from_hours(2);

/// How long an answer may take; everything here shares two processors.
const PATIENCE: Duration = Duration::from_mins(1);

type Fault = Box<dyn std::error::Error + Send + Sync>;

struct Fleet {
    url: Secret,
    groups: u32,
    hosts: u32,
    leases: u32,
    at_a_time: u32,
}

impl Fleet {
    fn pool(&self, host: u32) -> Result<Pool, Fault> {
        let wan = Wan { index: 0, name: "fleet".to_owned(), bind: WanAddress::Every, range: RANGE.parse()? };
        let simulated_host = Some(format!("host-{host:04}"));
        let options = Options { wans: vec![wan], patience: PATIENCE, simulated_host, ..Options::default() };
        Ok(Pool::open_shared(&self.url, &format!("group-{:02}", host % self.groups), options)?)
    }

    /// Lets every host do `work`, some at a time, which returns how long each of its operations took.
    fn each(&self, work: impl Fn(u32) -> Result<Vec<Duration>, Fault> + Sync) -> Result<Vec<Duration>, Fault> {
        let (next, all) = (AtomicU32::new(0), Mutex::new(Vec::new()));
        let run = || -> Result<(), Fault> {
            loop {
                let host = next.fetch_add(1, Ordering::Relaxed);
                if host >= self.hosts {
                    return Ok(());
                }
                let took = work(host)?;
                all.lock().map_err(|_| "a thread failed")?.extend(took);
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.at_a_time).map(|_| scope.spawn(run)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread failed")?)
        })?;
        Ok(all.into_inner().map_err(|_| "a thread failed")?)
    }
}

fn print(what: &str, mut took: Vec<Duration>, whole: Duration) -> Result<(), Fault> {
    took.sort_unstable();
    let at = |part: usize| took.get((took.len() * part / 100).min(took.len().saturating_sub(1))).copied();
    let ms = |part| at(part).unwrap_or_default().as_secs_f64() * 1_000.0;
    let rate = f64::from(u32::try_from(took.len())?) / whole.as_secs_f64();
    let (count, seconds) = (took.len(), whole.as_secs_f64());
    let line = format!(
        "{what}: {count} in {seconds:.1} s, {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms\n",
        ms(50),
        ms(99),
        ms(100)
    );
    std::io::stdout().write_all(line.as_bytes())?;
    Ok(std::io::stdout().flush()?)
}

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, groups, hosts, leases, at_a_time] = arguments.as_slice() else {
        return Err("URL GROUPS HOSTS LEASES AT_A_TIME".into());
    };
    let fleet = Fleet {
        url: Secret::new(url.as_str()),
        groups: groups.parse()?,
        hosts: hosts.parse()?,
        leases: leases.parse()?,
        at_a_time: at_a_time.parse()?,
    };
    // The tables, where there are none yet, are not what is measured.
    fleet.pool(0)?.leases()?;
    let held: Mutex<Vec<(u32, Vec<Port>)>> = Mutex::new(Vec::new());
    let start = Instant::now();
    let took = fleet.each(|host| {
        let pool = fleet.pool(host)?;
        let request = Request { ttl: TTL, purpose: "simulation".to_owned(), ..Request::default() };
        let (mut took, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..fleet.leases {
            let start = Instant::now();
            let granted = pool.grant(&request)?;
            took.push(start.elapsed());
            ports.extend(granted.iter().map(|lease| lease.port));
        }
        held.lock().map_err(|_| "a thread failed")?.push((host, ports));
        Ok(took)
    })?;
    print("acquire", took, start.elapsed())?;
    std::io::stdin().read_line(&mut String::new())?;
    let held = held.into_inner().map_err(|_| "a thread failed")?;
    let start = Instant::now();
    let took = fleet.each(|host| {
        let pool = fleet.pool(host)?;
        let ports = held.iter().find(|(owner, _)| *owner == host).map(|(_, ports)| ports.as_slice());
        let mut took = Vec::new();
        for port in ports.unwrap_or_default() {
            let start = Instant::now();
            pool.release(&Release::Ports(vec![*port], Some(0)))?;
            took.push(start.elapsed());
        }
        Ok(took)
    })?;
    print("release", took, start.elapsed())
}
