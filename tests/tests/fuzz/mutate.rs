//! Random changes to files.

/// Makes the same changes each time.
pub(crate) struct Mutator(u64);

/// Numbers at the edges of their types.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 60, i64::MAX as u64, u64::MAX];
/// What pickles and archives are made of.
const PIECES: [&[u8]; 16] = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"ctorch\nFloatStorage\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cos\nsystem\n",
    b"}q\x00",
    b"]q\x01",
    b"(tR",
    b"h\x00a",
    b"Q",
    b"\"shape\":[18446744073709551615]",
    b"\"data_offsets\":[0,18446744073709551615]",
];

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of the files, changed in a few places, now and then joined with the end of another.
    pub(crate) fn mutated(&mut self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = files[self.below(files.len())].clone();
        if self.one_in(16) {
            let other = &files[self.below(files.len())];
            bytes.truncate(self.below(bytes.len() + 1));
            bytes.extend(&other[self.below(other.len() + 1)..]);
        }
        for _ in 0..=self.below(6) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        const LONGEST: usize = 1 << 16;
        let at = self.below(bytes.len() + 1);
        let end = (at + 1 + self.below(16)).min(bytes.len());
        match self.below(10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 | 3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            4 if at < bytes.len() => bytes[at] = self.next() as u8,
            5 | 6 => {
                let (edge, width) = (EDGES[self.below(EDGES.len())].to_le_bytes(), 1 << self.below(4));
                for (byte, new) in bytes.iter_mut().skip(at).zip(&edge[..width]) {
                    *byte = *new;
                }
            }
            7 if bytes.len() < LONGEST => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            8 if bytes.len() < LONGEST => {
                let times = 1 << self.below(10);
                let copies: Vec<u8> = bytes[at..end].repeat(times).into_iter().take(LONGEST).collect();
                bytes.splice(at..at, copies);
            }
            9 if bytes.len() < LONGEST => bytes.insert(at, self.next() as u8),
            _ => {}
        }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
