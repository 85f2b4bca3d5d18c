//! Bandwidth limits hold within five percent, for one connection and for several, in both directions.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::running::{Link, Tunnel, lasts, wait_until};
use super::targets::{Target, visit};

/// Bytes a second: enough for the connections to count as bulk, little enough for a busy machine.
const LIMIT: usize = 4 * 1024 * 1024;

over_every_link!(a_limited_mapping_carries_its_limit_within_five_percent);

/// By how many thousandths of the limit `carried` grows, after the first moment, for two seconds.
fn thousandths(carried: &AtomicUsize) -> u128 {
    wait_until("a beginning", Duration::from_secs(10), || carried.load(SeqCst) > LIMIT / 4);
    let (started, before) = (Instant::now(), carried.load(SeqCst));
    lasts(Duration::from_secs(2));
    let grown = (carried.load(SeqCst) - before) as u128;
    grown * 1_000_000_000 / LIMIT as u128 / started.elapsed().as_micros()
}

fn a_limited_mapping_carries_its_limit_within_five_percent(link: Link) {
    let tunnel = Tunnel::start(link);
    let endless = Target::endless();
    let measure = |count: usize, is_upload: bool| {
        // A sink of its own: what the mapping before holds in the system's buffers still arrives there for a while.
        let uploaded = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&uploaded);
        let sink = Target::each(move |mut stream: tokio::net::TcpStream| {
            let counter = Arc::clone(&counter);
            async move {
                let mut piece = vec![0; 64 * 1024];
                while let Ok(bytes @ 1..) = stream.read(&mut piece).await {
                    counter.fetch_add(bytes, SeqCst);
                }
            }
        });
        let target = if is_upload { sink.address } else { endless.address };
        let public = tunnel.server.map_with(target, &json!({ "bandwidth_limit": LIMIT }));
        let downloaded = Arc::new(AtomicUsize::new(0));
        let visitors: Vec<TcpStream> = (0..count).map(|_| visit(public)).collect();
        let threads: Vec<_> = visitors
            .iter()
            .map(|visitor| {
                let (mut stream, counter) = (visitor.try_clone().expect("a clone"), Arc::clone(&downloaded));
                thread::spawn(move || {
                    let mut piece = vec![0; 64 * 1024];
                    if is_upload {
                        while stream.write_all(&piece).is_ok() {}
                    }
                    while let Ok(bytes @ 1..) = stream.read(&mut piece) {
                        counter.fetch_add(bytes, SeqCst);
                    }
                })
            })
            .collect();
        uploaded.store(0, SeqCst);
        let ratio = thousandths(if is_upload { &uploaded } else { &downloaded });
        for visitor in &visitors {
            // It may have ended by itself.
            let _ = visitor.shutdown(std::net::Shutdown::Both);
        }
        for thread in threads {
            thread.join().expect("a visitor");
        }
        assert!(
            (950..=1050).contains(&ratio),
            "{ratio} thousandths of the limit, {count} connections, upload {is_upload}"
        );
    };
    for (count, is_upload) in [(1, false), (4, false), (1, true), (4, true)] {
        measure(count, is_upload);
    }
}
