//! What a checkpoint holds: a dictionary of tensors, and what lies beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::PthProblem;
use super::heap::{Heap, Node, Value, Walk};
use super::problem::shown;
use super::view::View;

/// Where a dictionary of tensors may lie in another: the network in training (the first is the published teachers'), or its
/// moving average.
const STATE_KEYS: [&str; 16] = [
    "model",
    "state_dict",
    "model_state_dict",
    "net",
    "network",
    "unet",
    "params",
    "weights",
    "ema",
    "ema_state_dict",
    "model_ema",
    "ema_model",
    "ema_model_state_dict",
    "state_dict_ema",
    "params_ema",
    "shadow_params",
];

/// The entries of a state dictionary, by name.
pub(crate) type Entries = Vec<(String, Entry)>;

/// What a checkpoint holds.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The state dictionaries that lie in it under a known key, in the order of [`STATE_KEYS`].
    states: Vec<(String, Entries)>,
    /// Dictionaries of tensors under other keys.
    others: Vec<(String, Entries)>,
    /// Its own entries, where it is a state dictionary itself.
    plain: Option<Entries>,
    /// Everything at the top, state dictionaries among it.
    parts: Vec<(String, Part)>,
}

/// The state dictionary of a checkpoint.
#[derive(Debug)]
pub(crate) struct StateDict {
    /// Where it lies, unless it is the checkpoint itself.
    pub(crate) key: Option<String>,
    /// What the names of the wanted entries begin with, where there are others.
    pub(crate) prefix: Option<String>,
    /// What is in it.
    pub(crate) entries: Entries,
    /// What lies beside it.
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
        let mut states = Vec::new();
        for key in STATE_KEYS {
            if let Some((_, dict)) = top.iter().find(|(name, value)| is_state(heap, *name, *value, key)) {
                states.push((key.to_owned(), entries(heap, heap.pairs(*dict).unwrap_or_default())?));
            }
        }
        let mut others = Vec::new();
        for (name, dict) in top.iter().filter(|(_, value)| holds_tensors(heap, *value)) {
            let key = key_name(heap, *name);
            if !states.iter().any(|(known, _)| *known == key) {
                others.push((key, entries(heap, heap.pairs(*dict).unwrap_or_default())?));
            }
        }
        // A checkpoint may have tensors of its own beside its network, such as the state of a generator.
        let is_plain = states.is_empty() && holds_tensors(heap, root);
        let plain = is_plain.then(|| entries(heap, top)).transpose()?;
        let mut walk = Walk::new(heap);
        let beside = if is_plain { &[][..] } else { top };
        let parts =
            beside.iter().map(|(name, value)| Ok((key_name(heap, *name), part(heap, &mut walk, *value)?)));
        Ok(Self { states, others, plain, parts: parts.collect::<Result<_, PthProblem>>()? })
    }

    /// The state dictionary.
    /// - `key`: which one is meant, or what names begin with in the only one, or both with a dot between them
    pub(crate) fn into_state(self, key: Option<&str>) -> Result<StateDict, PthProblem> {
        let Self { mut states, mut others, plain, mut parts } = self;
        let mut prefix = key.map(ToOwned::to_owned);
        let named = key.and_then(|key| {
            let all = states.iter().chain(&others).map(|(known, _)| known);
            all.filter(|known| is_at(key, known)).max_by_key(|known| known.len()).cloned()
        });
        if let (Some(key), Some(named)) = (key, named) {
            prefix = key[named.len()..].strip_prefix('.').map(ToOwned::to_owned);
            states.append(&mut others);
            states.retain(|(known, _)| *known == named);
        } else if states.is_empty() && plain.is_none() {
            states = others;
        }
        if states.len() > 1 {
            let keys: Vec<_> = states.iter().map(|(key, _)| format!("`{}`", shown(key))).collect();
            return Err(PthProblem::SeveralStateDicts { keys: keys.join(", ") });
        }
        match (states.pop(), plain) {
            (Some((key, entries)), _) => {
                parts.retain(|(name, _)| *name != key);
                Ok(StateDict { key: Some(key), prefix, entries, parts })
            }
            (None, Some(entries)) => Ok(StateDict { key: None, prefix, entries, parts }),
            (None, None) => {
                let names: Vec<_> = parts.iter().map(|(name, _)| format!("`{name}`")).collect();
                let found =
                    if names.is_empty() { "no dictionary at all".to_owned() } else { names.join(", ") };
                Err(PthProblem::NoStateDict { found })
            }
        }
    }

    /// What it holds, in short, for somebody to choose from.
    pub(crate) fn parts(&self) -> Vec<(String, Part)> {
        self.parts.clone()
    }
}

/// Whether a key names a state dictionary, or what begins with the rest of the key in it.
fn is_at(key: &str, known: &str) -> bool {
    key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
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
