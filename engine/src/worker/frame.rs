//! Lines of bounded length from a byte stream.

use std::io::{self, BufRead, Read};

/// One read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A line without its newline; the last one may have had none.
    Line(Vec<u8>),
    /// A line beyond the limit; it was skipped, with its length in bytes.
    TooLong(u64),
    /// The stream has ended.
    End,
}

/// Reads one line of at most `limit` bytes. Memory stays bounded whatever arrives.
///
/// # Errors
/// Those of the stream.
pub fn read_frame(stream: &mut impl BufRead, limit: usize) -> io::Result<Frame> {
    let mut line = Vec::new();
    let cap = limit as u64 + 1;
    let taken = stream.by_ref().take(cap).read_until(b'\n', &mut line)?;
    if taken == 0 {
        return Ok(Frame::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Frame::Line(line));
    }
    if line.len() <= limit {
        return Ok(Frame::Line(line));
    }
    drop(line);
    let skipped = skip_line(stream)?;
    Ok(Frame::TooLong(cap + skipped))
}

fn skip_line(stream: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = stream.fill_buf()?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let newline = buffer.iter().position(|&byte| byte == b'\n');
        let used = newline.map_or(buffer.len(), |at| at + 1);
        stream.consume(used);
        if newline.is_some() {
            return Ok(skipped + used as u64 - 1);
        }
        skipped += used as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn frames(bytes: &[u8], limit: usize) -> Vec<Frame> {
        let mut reader = BufReader::with_capacity(4, bytes);
        let mut out = Vec::new();
        loop {
            match read_frame(&mut reader, limit).unwrap() {
                Frame::End => return out,
                frame => out.push(frame),
            }
        }
    }

    #[test]
    fn lines_up_to_the_limit_pass_and_longer_ones_are_skipped_with_their_length() {
        let line = |text: &str| Frame::Line(text.into());
        for (input, want) in [
            ("", vec![]),
            ("\n", vec![line("")]),
            ("abc", vec![line("abc")]),
            ("abcde\nx\n", vec![line("abcde"), line("x")]),
            ("abcdef\nx\n", vec![Frame::TooLong(6), line("x")]),
            ("abcdefghijklm\nx", vec![Frame::TooLong(13), line("x")]),
            ("abcdefghijklm", vec![Frame::TooLong(13)]),
        ] {
            assert_eq!(frames(input.as_bytes(), 5), want, "{input:?}");
        }
    }
}
