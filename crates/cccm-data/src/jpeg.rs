//! Finds out whether a JPEG file is whole: the decoder fills what is missing with grey, without a word.

const START: [u8; 2] = [0xff, 0xd8];
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Whether these bytes are a JPEG image that stops before its end marker.
pub(crate) fn is_cut_off(bytes: &[u8]) -> bool {
    bytes.starts_with(&START) && !reaches_end(&bytes[START.len()..])
}

/// Walks from segment to segment (ITU-T T.81, annex B), because thumbnails inside a segment have
/// end markers of their own.
fn reaches_end(mut rest: &[u8]) -> bool {
    loop {
        match rest {
            [0xff, END_OF_IMAGE, ..] => return true,
            // Padding before a marker, and markers that stand alone.
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0x01 | 0xd0..=0xd8, ..] => rest = &rest[2..],
            [0xff, marker, high, low, ..] => {
                let end = 2 + usize::from(u16::from_be_bytes([*high, *low]));
                let Some(after) = rest.get(end..) else { return false };
                rest = if *marker == START_OF_SCAN { skip_scan(after) } else { after };
            }
            // Bytes between segments are allowed by no one and accepted by everyone.
            [_, after @ ..] if !after.is_empty() => rest = after,
            _ => return false,
        }
    }
}

/// What follows the compressed data: in them `ff` stands only before a zero or a restart marker.
fn skip_scan(data: &[u8]) -> &[u8] {
    let end = data.windows(2).position(|two| two[0] == 0xff && !matches!(two[1], 0 | 0xd0..=0xd7));
    end.map_or(&[], |end| &data[end..])
}
