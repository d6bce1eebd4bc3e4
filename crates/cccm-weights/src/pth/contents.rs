//! What a checkpoint holds: a dictionary of tensors, and what lies beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::PthProblem;
use super::heap::{Heap, Node, Value, Walk};
use super::problem::shown;
use super::view::View;

/// Where a dictionary of tensors may lie in another; the first is the published teachers'.
const STATE_KEYS: [&str; 3] = ["model", "state_dict", "model_state_dict"];

/// What a checkpoint holds.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The key of the state dictionary, if it lies in another.
    pub(crate) state_key: Option<&'static str>,
    /// Its entries; `None` when no dictionary of tensors was found.
    pub(crate) state: Option<Vec<(String, Entry)>>,
    /// Everything else at the top.
    pub(crate) parts: Vec<(String, Part)>,
}

/// An entry of a state dictionary.
#[derive(Debug)]
pub(crate) enum Entry {
    Tensor(Arc<View>),
    /// Something else, of this type.
    Other(&'static str),
}

/// An entry of a checkpoint beside its state dictionary, in short.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A number, a text, nothing.
    Fact(String),
    /// A structure with so many tensors in it, of so many bytes.
    Tensors {
        /// Number of tensors, however deep.
        count: usize,
        /// Bytes of their values.
        bytes: u64,
    },
}

impl Contents {
    pub(super) fn find(heap: &Heap, root: Value) -> Result<Self, PthProblem> {
        Walk::new(heap).visit(root, &mut |_| ())?;
        let top = heap.pairs(root).unwrap_or_default();
        if holds_tensors(heap, root) {
            return Ok(Self { state_key: None, state: Some(entries(heap, top)?), parts: Vec::new() });
        }
        let nested = |key: &&str| top.iter().find(|(name, value)| is_state(heap, *name, *value, key));
        let found = STATE_KEYS.into_iter().find_map(|key| Some((key, nested(&key)?.1)));
        let state = found.map(|(_, dict)| entries(heap, heap.pairs(dict).unwrap_or_default())).transpose()?;
        let state_key = found.map(|(key, _)| key);
        let beside = top.iter().filter(|(name, _)| state_key.is_none() || heap.text(*name) != state_key);
        let mut walk = Walk::new(heap);
        let parts = beside.map(|(name, value)| Ok((key_name(heap, *name), part(heap, &mut walk, *value)?)));
        Ok(Self { state_key, state, parts: parts.collect::<Result<_, PthProblem>>()? })
    }

    /// The entries of the state dictionary.
    pub(crate) fn into_state(self) -> Result<Vec<(String, Entry)>, PthProblem> {
        self.state.ok_or_else(|| {
            let names: Vec<_> = self.parts.iter().map(|(name, _)| format!("`{name}`")).collect();
            let found = if names.is_empty() { "no dictionary at all".to_owned() } else { names.join(", ") };
            PthProblem::NoStateDict { found }
        })
    }
}

fn is_state(heap: &Heap, name: Value, value: Value, key: &str) -> bool {
    heap.text(name) == Some(key) && holds_tensors(heap, value)
}

/// Whether a value is a dictionary with a tensor directly in it.
fn holds_tensors(heap: &Heap, value: Value) -> bool {
    let pairs = heap.pairs(value).unwrap_or_default();
    pairs.iter().any(|(_, value)| matches!(heap.node(*value), Some(Node::Tensor(_))))
}

fn entries(heap: &Heap, pairs: &[(Value, Value)]) -> Result<Vec<(String, Entry)>, PthProblem> {
    let mut names = BTreeSet::new();
    let mut entries = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let name = heap.text(*key).ok_or_else(|| no_state("a name in its state dictionary is no text"))?;
        if !names.insert(name) {
            return Err(no_state(&format!("`{}` stands in its state dictionary twice", shown(name))));
        }
        let entry = match heap.node(*value) {
            Some(Node::Tensor(view)) => Entry::Tensor(Arc::clone(view)),
            _ => Entry::Other(type_name(heap, *value)),
        };
        entries.push((name.to_owned(), entry));
    }
    Ok(entries)
}

fn no_state(found: &str) -> PthProblem {
    PthProblem::NoStateDict { found: found.to_owned() }
}

fn key_name(heap: &Heap, key: Value) -> String {
    heap.text(key).map_or_else(|| scalar(heap, key).unwrap_or_else(|| "?".to_owned()), shown)
}

/// A tensor that lies in several parts counts to the first.
fn part(heap: &Heap, walk: &mut Walk<'_>, value: Value) -> Result<Part, PthProblem> {
    if let Some(fact) = scalar(heap, value) {
        return Ok(Part::Fact(fact));
    }
    let (mut count, mut bytes) = (0, 0_u64);
    walk.visit(value, &mut |node| {
        if let Node::Tensor(view) = node {
            count += 1;
            bytes = bytes.saturating_add(view.bytes());
        }
    })?;
    Ok(Part::Tensors { count, bytes })
}

/// A value in one line, unless it holds others.
fn scalar(heap: &Heap, value: Value) -> Option<String> {
    Some(match value {
        Value::None => "None".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Node(_) => shown(heap.text(value)?),
        Value::Global(_) => type_name(heap, value).to_owned(),
    })
}

fn type_name(heap: &Heap, value: Value) -> &'static str {
    match (value, heap.node(value)) {
        (Value::None, _) => "None",
        (Value::Bool(_), _) => "bool",
        (Value::Int(_), _) => "int",
        (Value::Float(_), _) => "float",
        (_, Some(Node::Text(_))) => "str",
        (_, Some(Node::Tuple(_))) => "tuple",
        (_, Some(Node::List(_))) => "list",
        (_, Some(Node::Dict(_))) => "dict",
        (_, Some(Node::Tensor(_))) => "tensor",
        (_, Some(Node::Storage(_))) => "storage",
        (Value::Global(_) | Value::Node(_), _) => "object",
    }
}
