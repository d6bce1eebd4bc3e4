//! The objects of a pickle, in one flat table.
//!
//! Objects refer to each other by number. So an object that contains itself leaks nothing, and one nested a million
//! deep is dropped without recursion.

use std::sync::Arc;

use super::PthProblem;
use super::globals::Global;
use super::view::{Storage, View};

/// A value on the stack, in the memo or in an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Global(Global),
    Node(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

#[derive(Debug)]
pub(super) enum Node {
    Text(Box<str>),
    Tuple(Box<[Value]>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Box<Storage>),
    Tensor(Arc<View>),
    /// Something passed over.
    Opaque,
}

/// The objects of one file. What they take, growing vectors included, is counted beforehand and bounded.
#[derive(Debug)]
pub(super) struct Heap {
    nodes: Vec<Node>,
    spent: u64,
    budget: u64,
    file_bytes: u64,
}

/// A growing vector is up to three times its content: the old one, and a new one of twice its size.
const GROWTH: u64 = 3;
pub(super) const VALUE_BYTES: u64 = GROWTH * size_of::<Value>() as u64;
const NODE_BYTES: u64 = GROWTH * size_of::<Node>() as u64;
/// An entry of a half-filled tree.
pub(super) const MEMO_BYTES: u64 = 64;

impl Heap {
    pub(super) fn new(file_bytes: u64) -> Self {
        const ALWAYS: u64 = 8 << 20;
        Self { nodes: Vec::new(), spent: 0, budget: ALWAYS.saturating_add(file_bytes), file_bytes }
    }

    /// Counts memory that is about to be taken.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), PthProblem> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.budget {
            return Err(PthProblem::Memory { what: "pickle", file_bytes: self.file_bytes });
        }
        Ok(())
    }

    /// A new object. What it holds must have been charged.
    pub(super) fn add(&mut self, node: Node) -> Result<Value, PthProblem> {
        self.charge(NODE_BYTES)?;
        // Within any budget: a node costs more than a byte of it.
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        Ok(Value::Node(id))
    }

    pub(super) fn add_text(&mut self, text: String) -> Result<Value, PthProblem> {
        self.charge(2 * text.len() as u64)?;
        self.add(Node::Text(text.into()))
    }

    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(NodeId(index)) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    pub(super) fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(NodeId(index)) => self.nodes.get_mut(index as usize),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.node(value) {
            Some(Node::Tuple(items)) => Some(items),
            Some(Node::List(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn pairs(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value) {
            Some(Node::Dict(pairs)) => Some(pairs),
            _ => None,
        }
    }

    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }
}

/// A way through the objects that visits each once, however often it is referred to, without recursion.
pub(super) struct Walk<'a> {
    heap: &'a Heap,
    states: Vec<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

impl<'a> Walk<'a> {
    pub(super) fn new(heap: &'a Heap) -> Self {
        Self { heap, states: vec![State::New; heap.nodes.len()] }
    }

    /// Visits what lies below a value and was not visited yet.
    ///
    /// # Errors
    /// [`PthProblem::Cycle`] when an object contains itself.
    pub(super) fn visit(&mut self, root: Value, visit: &mut dyn FnMut(&Node)) -> Result<(), PthProblem> {
        // An object, and how many of its children were visited.
        let mut path: Vec<(usize, usize)> = Vec::new();
        let mut next = Some(root);
        loop {
            if let Some(Value::Node(NodeId(index))) = next {
                let index = index as usize;
                match self.states[index] {
                    State::Open => return Err(PthProblem::Cycle),
                    State::Done => {}
                    State::New => {
                        self.states[index] = State::Open;
                        visit(&self.heap.nodes[index]);
                        path.push((index, 0));
                    }
                }
            }
            let Some((index, visited)) = path.last_mut() else { return Ok(()) };
            next = child(&self.heap.nodes[*index], *visited);
            *visited += 1;
            if next.is_none() {
                self.states[*index] = State::Done;
                path.pop();
            }
        }
    }
}

fn child(node: &Node, index: usize) -> Option<Value> {
    match node {
        Node::Tuple(items) => items.get(index).copied(),
        Node::List(items) => items.get(index).copied(),
        Node::Dict(pairs) => {
            let (key, value) = pairs.get(index / 2)?;
            Some(if index.is_multiple_of(2) { *key } else { *value })
        }
        Node::Text(_) | Node::Storage(_) | Node::Tensor(_) | Node::Opaque => None,
    }
}
