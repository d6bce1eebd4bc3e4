//! The form that PyTorch wrote before 1.6, and writes when asked to: pickles one behind the other, then the storages.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::PthProblem;
use super::heap::{Heap, Value};
use super::input::Input;
use super::machine::unpickle;

/// What the first pickle holds, behind its protocol: a number of ten bytes.
pub(super) const MAGIC: [u8; 13] =
    [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
/// Where it stands.
pub(super) const MAGIC_AT: usize = 2;

/// First byte and number of elements of each storage, by key.
pub(super) type Storages = BTreeMap<Box<str>, (u64, u64)>;

/// Reads the object, and where the storages lie.
pub(super) fn open<R: Read + Seek>(
    file: &mut R,
    file_len: u64,
    heap: &mut Heap,
) -> Result<(Value, Storages), PthProblem> {
    const VERSION: i64 = 1001;
    let mut input = Input::new(file, (MAGIC_AT + MAGIC.len()) as u64, file_len)?;
    let version = unpickle(&mut input, heap)?;
    if !matches!(version, Value::Int(VERSION)) {
        let problem = format!("the version of its format is not {VERSION}");
        return Err(PthProblem::Pickle { at: input.at(), problem });
    }
    let system = unpickle(&mut input, heap)?;
    if !is_little_endian(heap, system) {
        return Err(PthProblem::ByteOrder { found: "not said to be little".to_owned() });
    }
    let root = unpickle(&mut input, heap)?;
    let keys = unpickle(&mut input, heap)?;
    let storages = find_storages(&mut input, heap, keys)?;
    Ok((root, storages))
}

fn is_little_endian(heap: &Heap, system: Value) -> bool {
    let mut pairs = heap.pairs(system).unwrap_or_default().iter();
    pairs.any(|(key, value)| heap.text(*key) == Some("little_endian") && matches!(value, Value::Bool(true)))
}

/// The storages lie in the order of the list of keys, each behind its number of elements.
fn find_storages<R: Read + Seek>(
    input: &mut Input<'_, R>,
    heap: &Heap,
    keys: Value,
) -> Result<Storages, PthProblem> {
    let sizes: BTreeMap<&str, u64> =
        heap.storages().map(|storage| (&*storage.key, storage.element.size() as u64)).collect();
    let error = |input: &Input<'_, R>, problem: &str| PthProblem::Pickle {
        at: input.at(),
        problem: problem.to_owned(),
    };
    let keys = heap.items(keys).ok_or_else(|| error(input, "the list of storages is missing"))?;
    let mut storages = Storages::new();
    for key in keys {
        let known = heap.text(*key).and_then(|key| Some((key, sizes.get(key)?)));
        let (key, size) = known.ok_or_else(|| error(input, "a storage is listed that no tensor uses"))?;
        let elements = input.u64()?;
        let start = input.at();
        input.skip(elements.saturating_mul(*size))?;
        storages.insert(key.into(), (start, elements));
    }
    Ok(storages)
}
