//! Takes a port from a pool and gives it back, again and again, and prints how long each took in microseconds:
//! `pool_load FILE RANGE ROUNDS`. Started by `benches/pool.py`.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use portwright::lease::{Pool, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, range, rounds] = arguments.as_slice() else { return Err("FILE RANGE ROUNDS".into()) };
    let request = Request { range: Some(range.parse()?), ..Request::default() };
    let pool = Pool::open(Path::new(file))?;
    let mut took = Vec::new();
    for _ in 0..rounds.parse()? {
        let start = Instant::now();
        pool.acquire(&request)?.release()?;
        took.push(start.elapsed().as_micros().to_string());
    }
    std::io::stdout().write_all((took.join("\n") + "\n").as_bytes())?;
    Ok(())
}
