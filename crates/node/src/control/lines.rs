//! Lines out of a byte stream, of bounded length.

use thiserror::Error;
use zeroize::Zeroizing;

/// A line without an end: whoever sends it is not heard further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("read a line of more than {limit} octets")]
pub struct TooLong {
    pub limit: usize,
}

/// Cuts a byte stream into lines. Holds no more than one line and what came with it, and wipes it when it goes.
pub struct Lines {
    limit: usize,
    buffer: Zeroizing<Vec<u8>>,
    /// Where the next line begins.
    start: usize,
    /// No line ends before here.
    searched: usize,
}

impl Lines {
    /// `limit`: octets of the longest line, its end not counted.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Zeroizing::default(), start: 0, searched: 0 }
    }

    /// For lines with keys, pushed in pieces of at most `piece` octets: a buffer that never grows leaves no copy.
    pub fn with_room(limit: usize, piece: usize) -> Self {
        Self { buffer: Zeroizing::new(Vec::with_capacity(limit + 2 * piece)), ..Self::new(limit) }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, without its end. `None`: more bytes are needed.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = rest.iter().position(|octet| *octet == b'\n') else {
            self.searched = self.buffer.len();
            let is_too_long = self.searched - self.start > self.limit;
            return if is_too_long { Err(TooLong { limit: self.limit }) } else { Ok(None) };
        };
        let (start, end) = (self.start, self.searched + at);
        if end - start > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        self.start = end + 1;
        self.searched = self.start;
        Ok(self.buffer.get(start..end))
    }
}

impl std::fmt::Debug for Lines {
    /// A line may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} octets of lines", self.buffer.len() - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(chunks: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut lines = Lines::new(limit);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next_line()? {
                found.push(line.to_vec());
            }
        }
        Ok(found)
    }

    #[test]
    fn the_longest_line_is_taken_and_one_octet_more_is_not() {
        assert_eq!(all(&[b"abcd\nef\n"], 4).unwrap(), [b"abcd".to_vec(), b"ef".to_vec()]);
        assert_eq!(all(&[b"abcd"], 4).unwrap(), Vec::<Vec<u8>>::new());
        for long in [&b"abcde\n"[..], b"abcde"] {
            assert_eq!(all(&[long], 4), Err(TooLong { limit: 4 }));
        }
    }

    #[test]
    fn a_buffer_with_room_never_moves() {
        let mut lines = Lines::with_room(100, 10);
        let at = lines.buffer.as_ptr();
        for _ in 0..50 {
            lines.push(b"abcdefghij");
            if lines.next_line().is_err() {
                break;
            }
        }
        assert_eq!(lines.buffer.as_ptr(), at);
        assert!(!format!("{lines:?}").contains("abc"));
    }

    proptest! {
        /// However the bytes arrive, the lines are the same.
        #[test]
        fn lines_do_not_depend_on_the_chunks(
            lines in proptest::collection::vec("[a-c]{0,6}", 0..6),
            cuts in proptest::collection::vec(0..40usize, 0..6),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let expected: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
            prop_assert_eq!(all(&chunks, 6), Ok(expected));
        }

        #[test]
        fn never_panics_and_never_holds_more_than_it_was_given(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..20),
            limit in 0..30usize,
        ) {
            let mut lines = Lines::new(limit);
            for chunk in chunks {
                lines.push(&chunk);
                loop {
                    match lines.next_line() {
                        Ok(Some(line)) => prop_assert!(line.len() <= limit && !line.contains(&b'\n')),
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                }
                prop_assert!(lines.buffer.len() - lines.start <= limit);
            }
        }
    }
}
