//! Random messages of random sizes, there and back, with SHA-256 digests of both directions.
//!
//! Every batch has a connection of its own, which the target closes right behind its last byte: a forwarder that drops
//! what is under way when a connection ends is found out here.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::flow::READ_BYTES;
use super::load::{Course, FAILURE_PAUSE, open, without_connections};
use super::outcome::{Failure, Tally};
use super::plan::Step;
use super::wire::{DIGEST_BYTES, Mode, split_mix};

/// Most messages in a batch.
const MESSAGES_MAX: u64 = 32;

/// A message has from 1 byte to 2 to the power of this many, minus one: 256 KiB.
const MESSAGE_BITS_MAX: u64 = 18;

/// What all batches of a moment may take, in bytes: ten thousand connections then have 25 KiB each.
const BATCHES_BYTES_MAX: usize = 256 << 20;

/// Measures whether everything arrives as it was sent.
pub(super) fn reliability(address: SocketAddr, step: Step) -> Tally {
    without_connections(address, step, move |lane| async move {
        let course = &lane.course;
        let mut seed = lane.index as u64;
        let most = BATCHES_BYTES_MAX / step.connections.max(1);
        loop {
            let batch = Batch::random(&mut seed, most);
            let done = batch.there_and_back(course).await;
            match done {
                Ok(()) => {
                    let mut tally = course.tally.borrow_mut();
                    tally.bytes += batch.bytes.len() as u64;
                    tally.operations += batch.ends.len() as u64;
                }
                Err(failure) => {
                    course.tally.borrow_mut().fail(failure);
                    sleep(FAILURE_PAUSE).await;
                }
            }
            if !course.goes_on() {
                break;
            }
        }
        course.work_done();
        Ok(())
    })
}

/// Messages one behind the other.
struct Batch {
    bytes: Vec<u8>,
    /// Where each message ends.
    ends: Vec<usize>,
}

impl Batch {
    /// Sizes of every magnitude are equally frequent; what is beyond `most` bytes in all is left out.
    fn random(seed: &mut u64, most: usize) -> Self {
        let mut ends = Vec::new();
        let mut total = 0;
        for _ in 0..=split_mix(seed) % MESSAGES_MAX {
            let bits = 1 + split_mix(seed) % MESSAGE_BITS_MAX;
            let size = usize::try_from(1 + split_mix(seed) % ((1 << bits) - 1)).unwrap_or(1);
            if total < most {
                total += size.min(most - total);
                ends.push(total);
            }
        }
        let words = (0..total.div_ceil(8)).flat_map(|_| split_mix(seed).to_be_bytes());
        Self { bytes: words.take(total).collect(), ends }
    }

    async fn there_and_back(&self, course: &Course) -> Result<(), Failure> {
        let total = self.bytes.len();
        let mut stream = open(course.address, Some(Mode::Digest(total as u64))).await?;
        let mut answer = Answer { echo: Sha256::new(), returned: 0, digest: Vec::new(), total };
        let mut sent = 0;
        poll_fn(|context| {
            loop {
                let mut moved = false;
                if let Some(rest @ [_, ..]) = self.next_message(sent)
                    && let Poll::Ready(written) = Pin::new(&mut stream).poll_write(context, rest)
                {
                    sent += written?;
                    moved = true;
                }
                let mut take = |bytes: &[u8], _: &TcpStream| answer.take(bytes);
                match course.desk.poll_read(context, &mut stream, READ_BYTES, &mut take) {
                    Poll::Ready(read) => match read? {
                        Taken::More => {}
                        Taken::End => return Poll::Ready(Ok::<_, Failure>(())),
                    },
                    Poll::Pending if moved => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await?;
        answer.judge(&Sha256::digest(&self.bytes))
    }

    /// The rest of the message in which byte number `sent` is.
    fn next_message(&self, sent: usize) -> Option<&[u8]> {
        let end = self.ends.get(self.ends.partition_point(|end| *end <= sent))?;
        self.bytes.get(sent..*end)
    }
}

enum Taken {
    More,
    End,
}

/// What came back: the messages, and what the target says about them.
struct Answer {
    echo: Sha256,
    returned: usize,
    digest: Vec<u8>,
    total: usize,
}

impl Answer {
    fn take(&mut self, bytes: &[u8]) -> Taken {
        let (echo, digest) = bytes.split_at(bytes.len().min(self.total - self.returned));
        self.echo.update(echo);
        self.returned += echo.len();
        // One byte too many is enough to see that there are too many.
        let space = (DIGEST_BYTES + 1).saturating_sub(self.digest.len());
        self.digest.extend_from_slice(digest.get(..space.min(digest.len())).unwrap_or_default());
        if bytes.is_empty() { Taken::End } else { Taken::More }
    }

    fn judge(self, sent: &[u8]) -> Result<(), Failure> {
        if self.returned < self.total || self.digest.len() < DIGEST_BYTES {
            return Err(Failure::Lost);
        }
        if self.digest == sent && self.echo.finalize().as_slice() == sent { Ok(()) } else { Err(Failure::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_into_its_messages_and_nothing_is_left_over() {
        let mut seed = 7;
        for _ in 0..100 {
            let batch = Batch::random(&mut seed, 1 << 20);
            assert!(batch.bytes.len() <= 1 << 20);
            let mut sent = 0;
            let mut messages = 0;
            while let Some(message) = batch.next_message(sent) {
                assert!(!message.is_empty() && message.len() < 1 << MESSAGE_BITS_MAX);
                sent += message.len();
                messages += 1;
            }
            assert_eq!((sent, messages), (batch.bytes.len(), batch.ends.len()));
            assert!(messages as u64 <= MESSAGES_MAX);
        }
    }

    #[test]
    fn an_answer_is_right_only_when_both_directions_are() {
        let judge = |parts: &[&[u8]]| {
            let mut answer = Answer { echo: Sha256::new(), returned: 0, digest: Vec::new(), total: 3 };
            for part in parts {
                answer.take(part);
            }
            answer.judge(&Sha256::digest(b"abc"))
        };
        let digest = Sha256::digest(b"abc");
        assert_eq!(judge(&[b"a", b"bc", &digest]), Ok(()));
        assert_eq!(judge(&[b"abd", &digest]), Err(Failure::Damaged));
        assert_eq!(judge(&[b"abc", &Sha256::digest(b"abd")]), Err(Failure::Damaged));
        assert_eq!(judge(&[b"abc", &digest, b"x"]), Err(Failure::Damaged));
        assert_eq!(judge(&[b"abc", &digest[..31]]), Err(Failure::Lost));
        assert_eq!(judge(&[b"ab"]), Err(Failure::Lost));
    }
}
