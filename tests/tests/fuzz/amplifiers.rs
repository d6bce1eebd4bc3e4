//! Files of some size in which every byte asks for as much as it can.

use crate::seeds::archive;
use crate::text::config_of_labels;
use crate::watch::{Target, watched};

const BYTES: usize = 4 << 20;

fn repeated(start: &[u8], piece: &[u8], end: &[u8]) -> Vec<u8> {
    [start, &piece.repeat(BYTES / piece.len()), end].concat()
}

#[test]
fn pickles_cannot_ask_for_much() {
    let text = [&b"X\x00\x00\x10\x00"[..], &vec![b'k'; 1 << 20]].concat();
    let cases: [(&[u8], &[u8], &[u8]); 12] = [
        (b"\x80\x02", b"]", b"."),
        (b"\x80\x02", b"}", b"."),
        (b"\x80\x02", b")", b"."),
        (b"\x80\x02", b"(", b"."),
        (b"\x80\x02", b"N", b"."),
        (b"\x80\x02N", b"\x85", b"."),
        (b"\x80\x02]q\x00", b"h\x00", b"."),
        (b"\x80\x02N", b"\x94", b"."),
        (b"\x80\x02](", b"K\x01", b"e."),
        (b"\x80\x02}(", b"NN", b"u."),
        (b"\x80\x02ccollections\nOrderedDict\n)\x86q\x00", b"h\x000", b"."),
        (b"\x80\x02]q\x00]q\x01", b"h\x00h\x01\x86q\x00", b"."),
    ];
    for (start, piece, end) in cases {
        watched(Target::Pth, &archive(&repeated(start, piece, end)));
    }
    // One long name, of many storages and many tensors.
    let storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nh\x00X\x03\x00\x00\x00cpuK\x06tQq\x01";
    let named = [&b"\x80\x02"[..], &text, b"q\x000"].concat();
    watched(Target::Pth, &archive(&repeated(&named, storage, b".")));
    let args =
        [&named[..], storage, b"0ctorch._utils\n_rebuild_tensor_v2\nq\x00(h\x01K\x00))tq\x02"].concat();
    watched(Target::Pth, &archive(&repeated(&args, b"h\x00h\x02R", b".")));
}

/// Many tensors, each of which has to be gathered from all over the storage.
#[test]
fn tensors_cannot_ask_for_much_reading() {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let mut pickle = b"\x80\x02}(".to_vec();
    for index in 0..10_000 {
        pickle.extend(text(&format!("w{index}")));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
        pickle.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\x06\x00\x00\x00tQK\x00(K\x02t(K\x05t\x89)tR");
    }
    pickle.extend(b"u.");
    watched(Target::Pth, &archive(&pickle));
}

#[test]
fn headers_cannot_ask_for_much() {
    let file = |header: &[u8]| [&(header.len() as u64).to_le_bytes()[..], header].concat();
    for (start, piece, end) in [
        (&br#"{"w":{"dtype":"F32","shape":["#[..], &b"0,"[..], &br#"0],"data_offsets":[0,0]}}"#[..]),
        (br#"{"__metadata__":{"a":""#, b"a", br#""}}"#),
        (b"", b"[", b""),
        (b"{", br#""":{},"#, b"}"),
        (b"", b" ", b"{}"),
    ] {
        watched(Target::Safetensors, &file(&repeated(start, piece, end)));
    }
    let overflowing =
        br#"{"w":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#;
    watched(Target::Safetensors, &file(overflowing));
}

/// A thousand times more in it than its size: refused by its header, or read no further than that says.
#[test]
fn packed_digits_cannot_ask_for_much() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]).unwrap();
    gzip.write_all(&vec![0; 32 << 20]).unwrap();
    let packed = gzip.finish().unwrap();
    watched(Target::Idx, &[&(packed.len() as u16).to_le_bytes()[..], &packed].concat());
}

#[test]
fn configs_cannot_ask_for_much() {
    let labels = (0..50_000).map(|index| format!("\"{index}\"")).collect::<Vec<_>>().join(",");
    let long = format!("\"{}\"", "x".repeat(BYTES));
    for names in [&labels, &"\"a\",".repeat(100_000)[..399_999], &long, &"[".repeat(BYTES)] {
        let kind = |kind: &str, names: &str| format!("{{\"kind\": \"{kind}\", \"names\": [{names}]}}");
        for [attributes, objects] in [[names, "\"b\""], ["\"b\"", names], [names, names]] {
            let labels = [kind("attribute", attributes), kind("object", objects)].join(", ");
            watched(Target::Config, &config_of_labels(&format!("[{labels}]")));
        }
    }
}

#[test]
fn labels_cannot_ask_for_much() {
    let lines =
        |key: char, count: usize| (0..count).map(|n| format!("{key}{n}_\n")).collect::<Vec<_>>().concat();
    let separators = format!("a_\nox\nn{}\n", "_".repeat(BYTES));
    let many = [lines('a', 20_000), lines('o', 20_000), lines('n', 1), "n0__0_\n".repeat(200)].concat();
    let names = ["aa_b\nob\n".to_owned(), "na_b_b\n".repeat(100_000)].concat();
    for case in [separators, many, names] {
        watched(Target::Labels, case.as_bytes());
    }
}
