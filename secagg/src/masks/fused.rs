//! Generation and addition in one pass over cache-sized blocks.
//!
//! A block of the vector stays in the second-level cache while all jobs go over it. Within a block the streams hand out
//! a few hundred bytes at a time, which are added while they are still in the first-level cache or in registers. So an
//! expansion costs what its cipher costs, and the vector is read from memory once.

use super::{MaskJob, MaskSeed, Sign, aes::AesStream, chacha::ChaChaStream};

/// Bytes of the vector per block: with the counters beside it, it fits into any second-level cache (256 KiB and up). At a
/// quarter of this the key schedules cost several per cent; at four times this small caches overflow.
const BLOCK_BYTES: usize = 32 << 10;

/// A lane: an unsigned machine word that wraps around.
pub(super) trait Word: Copy + Default + Send {
    /// Bytes of a word.
    const BYTES: usize;

    /// Adds the words of `stream` (little-endian) to `target`, or takes them away; the shorter of both ends it.
    fn fold(target: &mut [Self], stream: &[u8], sign: Sign);

    /// `self + other`, wrapping.
    fn plus(self, other: Self) -> Self;
}

/// A key stream that counts blocks.
pub(super) trait KeyStream {
    /// Bytes of a block.
    const BLOCK_BYTES: usize;

    /// What all streams of the kind have in common for the blocks `first_block..first_block + blocks`.
    type Counters;

    /// The counters of these blocks.
    fn counters(first_block: u32, blocks: usize) -> Self::Counters;

    /// Folds the stream's words from the first block of `counters` on into `target`. `target`: at most as many words as
    /// the counters' blocks have.
    fn fold<W: Word>(&mut self, counters: &Self::Counters, target: &mut [W], sign: Sign);
}

/// All `jobs` on `target`, which begins at entry `first_entry`.
pub(super) fn apply<W: Word>(target: &mut [W], first_entry: usize, jobs: &[MaskJob]) {
    let mut entry = first_entry;
    let mut rest = target;
    while !rest.is_empty() {
        let per_block = BLOCK_BYTES / W::BYTES;
        let (block, after) = rest.split_at_mut(rest.len().min(per_block - entry % per_block));
        apply_to_block(block, entry, jobs);
        entry += block.len();
        rest = after;
    }
}

/// [`apply`] from entry 0 on, on up to `threads` threads.
pub(super) fn apply_parallel<W: Word>(target: &mut [W], jobs: &[MaskJob], threads: usize) {
    let per_block = BLOCK_BYTES / W::BYTES;
    let share = target.len().div_ceil(threads.max(1)).next_multiple_of(per_block);
    if target.len() <= share {
        return apply(target, 0, jobs);
    }
    std::thread::scope(|scope| {
        for (index, part) in target.chunks_mut(share).enumerate() {
            scope.spawn(move || apply(part, index * share, jobs));
        }
    });
}

/// All `jobs` on one cache-sized block.
fn apply_to_block<W: Word>(target: &mut [W], first_entry: usize, jobs: &[MaskJob]) {
    let mut aes = None;
    let mut chacha = None;
    for job in jobs {
        match &job.seed {
            MaskSeed::Aes128Ctr(key) => {
                let run = aes.get_or_insert_with(|| Run::<AesStream>::new::<W>(first_entry, target.len()));
                run.fold(&mut AesStream::new(key), target, job.sign);
            }
            MaskSeed::ChaCha20(key) => {
                let run = chacha.get_or_insert_with(|| Run::<ChaChaStream>::new::<W>(first_entry, target.len()));
                run.fold(&mut ChaChaStream::new(key), target, job.sign);
            }
        }
    }
}

/// Where a block of the vector lies in the streams: possibly after the first words of a stream's block.
struct Run<S: KeyStream> {
    /// Words of the first stream block that belong to entries before the run.
    skipped: usize,
    /// Counters of the first stream block, if words of it are skipped.
    head: Option<S::Counters>,
    /// Entries of the run in that block.
    head_entries: usize,
    /// Counters of the blocks after it.
    body: S::Counters,
}

impl<S: KeyStream> Run<S> {
    fn new<W: Word>(first_entry: usize, entries: usize) -> Self {
        let words = S::BLOCK_BYTES / W::BYTES;
        let skipped = first_entry % words;
        let head_entries = if skipped == 0 { 0 } else { entries.min(words - skipped) };
        let block = block_number(first_entry / words);
        let body = block_number((first_entry + head_entries).div_ceil(words));
        Self {
            skipped,
            head: (skipped > 0).then(|| S::counters(block, 1)),
            head_entries,
            body: S::counters(body, (entries - head_entries).div_ceil(words)),
        }
    }

    fn fold<W: Word>(&self, stream: &mut S, target: &mut [W], sign: Sign) {
        let (head, body) = target.split_at_mut(self.head_entries);
        if let Some(counters) = &self.head {
            let mut words = [W::default(); MOST_WORDS];
            stream.fold(counters, &mut words[..S::BLOCK_BYTES / W::BYTES], sign);
            for (entry, word) in head.iter_mut().zip(&words[self.skipped..]) {
                *entry = entry.plus(*word);
            }
        }
        stream.fold(&self.body, body, sign);
    }
}

/// Words of the largest stream block: 64 bytes of ChaCha20 in words of 4.
const MOST_WORDS: usize = 16;

/// Vectors are bounded so that block numbers fit ([`super::MOST_ENTRIES`]).
fn block_number(block: usize) -> u32 {
    u32::try_from(block).unwrap_or(u32::MAX)
}

/// A machine word as a lane.
macro_rules! word {
    ($word:ty) => {
        impl Word for $word {
            const BYTES: usize = size_of::<$word>();

            #[inline(always)]
            fn fold(target: &mut [Self], stream: &[u8], sign: Sign) {
                let words = stream.as_chunks().0.iter().map(|bytes| Self::from_le_bytes(*bytes));
                match sign {
                    Sign::Plus => {
                        target.iter_mut().zip(words).for_each(|(entry, word)| *entry = entry.wrapping_add(word))
                    }
                    Sign::Minus => {
                        target.iter_mut().zip(words).for_each(|(entry, word)| *entry = entry.wrapping_sub(word))
                    }
                }
            }

            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
        }
    };
}

word!(u32);
word!(u64);
