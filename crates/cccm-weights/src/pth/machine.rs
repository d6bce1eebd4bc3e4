//! The pickle machine: a stack, marks on it, a memo. It makes plain objects by rules of ours and calls nothing.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::sync::Arc;

use super::PthProblem;
use super::globals::{Element, Global};
use super::heap::{Heap, MEMO_BYTES, Node, VALUE_BYTES, Value};
use super::input::Input;
use super::opcode as op;
use super::view::{MAX_RANK, Storage, View};

/// Runs the pickle that starts here; the input then stands behind it.
pub(super) fn unpickle<R: Read + Seek>(
    input: &mut Input<'_, R>,
    heap: &mut Heap,
) -> Result<Value, PthProblem> {
    let mut machine =
        Machine { input, heap, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new(), at: 0 };
    loop {
        machine.at = machine.input.at();
        let opcode = machine.input.byte()?;
        if opcode == op::STOP {
            return machine.pop();
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a, 'b, R> {
    input: &'a mut Input<'b, R>,
    heap: &'a mut Heap,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
    /// Where the instruction lies.
    at: u64,
}

impl<R: Read + Seek> Machine<'_, '_, R> {
    fn step(&mut self, opcode: u8) -> Result<(), PthProblem> {
        let value = match opcode {
            op::PROTO => return self.proto(),
            op::FRAME => return self.input.skip(8),
            op::MARK => return self.mark(),
            op::POP => return self.pop().map(drop),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => return self.put(opcode),
            op::APPEND => return self.append(self.stack.len().saturating_sub(1)),
            op::APPENDS => return self.pop_mark().and_then(|from| self.append(from)),
            op::SETITEM => return self.set_items(self.stack.len().saturating_sub(2)),
            op::SETITEMS => return self.pop_mark().and_then(|from| self.set_items(from)),
            op::ADDITEMS => return self.pop_mark().and_then(|from| self.add_items(from)),
            op::BUILD => return self.build(),
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            op::BININT1 => Value::Int(self.input.byte()?.into()),
            op::BININT2 => Value::Int(self.input.u16()?.into()),
            op::LONG1 | op::LONG4 => self.long(opcode)?,
            op::BINFLOAT => Value::Float(f64::from_be_bytes(self.input.array()?)),
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE => self.text_of(1)?,
            op::BINSTRING | op::BINUNICODE => self.text_of(4)?,
            op::BINUNICODE8 => self.text_of(8)?,
            op::SHORT_BINBYTES => self.skip_bytes(1)?,
            op::BINBYTES => self.skip_bytes(4)?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.skip_bytes(8)?,
            op::EMPTY_SET => self.heap.add(Node::Opaque)?,
            op::FROZENSET => self.frozen_set()?,
            op::EMPTY_TUPLE => self.heap.add(Node::Tuple(Box::default()))?,
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => self.tuple_of(usize::from(opcode - op::TUPLE1) + 1)?,
            op::TUPLE => self.pop_mark().and_then(|from| self.tuple(from))?,
            op::EMPTY_LIST => self.heap.add(Node::List(Vec::new()))?,
            op::EMPTY_DICT => self.heap.add(Node::Dict(Vec::new()))?,
            op::BINGET | op::LONG_BINGET => self.get(opcode)?,
            op::GLOBAL => Value::Global(Global::find(&self.input.line()?, &self.input.line()?)?),
            op::STACK_GLOBAL => self.stack_global()?,
            op::REDUCE => self.reduce()?,
            op::NEWOBJ | op::NEWOBJ_EX => self.new_object(opcode)?,
            op::BINPERSID => self.persistent()?,
            _ => return self.refuse(opcode),
        };
        self.push(value)
    }

    fn refuse(&mut self, opcode: u8) -> Result<(), PthProblem> {
        if opcode == op::INST {
            Global::find(&self.input.line()?, &self.input.line()?)?;
        }
        Err(PthProblem::Opcode { opcode, name: op::refused_name(opcode), at: self.at })
    }

    fn error(&self, problem: impl Into<String>) -> PthProblem {
        PthProblem::Pickle { at: self.at, problem: problem.into() }
    }

    // The stack.

    fn push(&mut self, value: Value) -> Result<(), PthProblem> {
        self.heap.charge(VALUE_BYTES)?;
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, PthProblem> {
        self.require(self.stack.len().saturating_sub(1))?;
        self.stack.pop().ok_or_else(|| self.error("its stack is empty"))
    }

    fn mark(&mut self) -> Result<(), PthProblem> {
        self.heap.charge(VALUE_BYTES)?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Height of the stack at the last mark, which is dropped.
    fn pop_mark(&mut self) -> Result<usize, PthProblem> {
        self.marks.pop().ok_or_else(|| self.error("a mark is missing"))
    }

    /// Checks that the stack reaches above this height without passing a mark.
    fn require(&self, from: usize) -> Result<(), PthProblem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if from < floor || from >= self.stack.len() {
            return Err(self.error("its stack holds too little"));
        }
        Ok(())
    }

    /// The object below this height, to be changed.
    fn target(&mut self, from: usize) -> Result<Value, PthProblem> {
        let below = from.checked_sub(1).ok_or_else(|| self.error("its stack holds too little"))?;
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(below) {
            Some(value) if below >= floor => Ok(*value),
            _ => Err(self.error("its stack holds too little")),
        }
    }

    // The memo.

    fn put(&mut self, opcode: u8) -> Result<(), PthProblem> {
        let index = match opcode {
            op::BINPUT => self.input.byte()?.into(),
            op::LONG_BINPUT => self.input.u32()?,
            _ => self.memo.len() as u32,
        };
        self.require(self.stack.len().saturating_sub(1))?;
        if let Some(top) = self.stack.last() {
            self.heap.charge(MEMO_BYTES)?;
            self.memo.insert(index, *top);
        }
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<Value, PthProblem> {
        let index = if opcode == op::BINGET { self.input.byte()?.into() } else { self.input.u32()? };
        self.memo.get(&index).copied().ok_or_else(|| self.error(format!("its memo has no entry {index}")))
    }

    // Plain values.

    fn proto(&mut self) -> Result<(), PthProblem> {
        const NEWEST: u8 = 5;
        match self.input.byte()? {
            0..=NEWEST => Ok(()),
            version => Err(self.error(format!("its protocol {version} is unknown"))),
        }
    }

    fn length(&mut self, bytes: usize) -> Result<u64, PthProblem> {
        Ok(match bytes {
            1 => self.input.byte()?.into(),
            8 => u64::from_le_bytes(self.input.array()?),
            _ => self.input.u32()?.into(),
        })
    }

    fn text_of(&mut self, length_bytes: usize) -> Result<Value, PthProblem> {
        let len = self.length(length_bytes)?;
        let text = self.input.text(len)?;
        self.heap.add_text(text)
    }

    fn skip_bytes(&mut self, length_bytes: usize) -> Result<Value, PthProblem> {
        let len = self.length(length_bytes)?;
        self.input.skip(len)?;
        self.heap.add(Node::Opaque)
    }

    /// Little-endian two's complement of any length; beyond 64 bits it is passed over.
    fn long(&mut self, opcode: u8) -> Result<Value, PthProblem> {
        let len = self.length(if opcode == op::LONG1 { 1 } else { 4 })?;
        if len > 8 {
            self.input.skip(len)?;
            return self.heap.add(Node::Opaque);
        }
        let bytes = self.input.bytes(len)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut word = [if negative { 0xff } else { 0 }; 8];
        word[..bytes.len()].copy_from_slice(&bytes);
        Ok(Value::Int(i64::from_le_bytes(word)))
    }

    // Containers.

    fn tuple_of(&mut self, len: usize) -> Result<Value, PthProblem> {
        let from =
            self.stack.len().checked_sub(len).ok_or_else(|| self.error("its stack holds too little"))?;
        self.require(from)?;
        self.tuple(from)
    }

    fn tuple(&mut self, from: usize) -> Result<Value, PthProblem> {
        self.heap.charge((self.stack.len() - from) as u64 * VALUE_BYTES)?;
        let items = self.stack.drain(from..).collect();
        self.heap.add(Node::Tuple(items))
    }

    fn append(&mut self, from: usize) -> Result<(), PthProblem> {
        let list = self.target(from)?;
        self.heap.charge((self.stack.len() - from) as u64 * VALUE_BYTES)?;
        match self.heap.node_mut(list) {
            Some(Node::List(items)) => items.extend(self.stack.drain(from..)),
            Some(Node::Opaque) => self.stack.truncate(from),
            _ => return Err(self.error("it appends to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, from: usize) -> Result<(), PthProblem> {
        let dict = self.target(from)?;
        self.heap.charge((self.stack.len() - from) as u64 * VALUE_BYTES)?;
        if !(self.stack.len() - from).is_multiple_of(2) {
            return Err(self.error("a key has no value"));
        }
        match self.heap.node_mut(dict) {
            Some(Node::Dict(pairs)) => {
                let (flat, _) = self.stack[from..].as_chunks::<2>();
                pairs.extend(flat.iter().map(|[key, value]| (*key, *value)));
            }
            Some(Node::Opaque) => {}
            _ => return Err(self.error("it sets items of what is no dictionary")),
        }
        self.stack.truncate(from);
        Ok(())
    }

    /// Items of a set, which is passed over.
    fn add_items(&mut self, from: usize) -> Result<(), PthProblem> {
        let set = self.target(from)?;
        let Some(Node::Opaque) = self.heap.node(set) else {
            return Err(self.error("it adds items to what is no set"));
        };
        self.stack.truncate(from);
        Ok(())
    }

    fn frozen_set(&mut self) -> Result<Value, PthProblem> {
        let from = self.pop_mark()?;
        self.stack.truncate(from);
        self.heap.add(Node::Opaque)
    }

    // Named things.

    fn stack_global(&mut self) -> Result<Value, PthProblem> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.heap.text(module), self.heap.text(name)) {
            (Some(module), Some(name)) => Ok(Value::Global(Global::find(module, name)?)),
            _ => Err(self.error("a name is no text")),
        }
    }

    /// Ignores attributes: those that `nn.Module.state_dict` sets on its dictionary, and those of objects
    /// that are ignored anyway.
    fn build(&mut self) -> Result<(), PthProblem> {
        self.pop()?;
        let object = self.pop()?;
        match self.heap.node(object) {
            Some(Node::Dict(_) | Node::Opaque) => self.push(object),
            _ => Err(self.error("it sets attributes of what has none")),
        }
    }

    fn reduce(&mut self) -> Result<Value, PthProblem> {
        let (args, callable) = (self.pop()?, self.pop()?);
        let Value::Global(global) = callable else {
            return Err(self.error("it calls what is not among the types of a checkpoint"));
        };
        let first = match self.heap.node(args) {
            Some(Node::Tuple(args)) => args.first().copied(),
            _ => return Err(self.error("the arguments of a call are no tuple")),
        };
        match (global, first) {
            (Global::OrderedDict, None) => self.heap.add(Node::Dict(Vec::new())),
            (Global::Tensor, _) => self.tensor(args),
            (Global::Parameter, Some(tensor)) if matches!(self.heap.node(tensor), Some(Node::Tensor(_))) => {
                Ok(tensor)
            }
            (Global::Inert, _) => self.heap.add(Node::Opaque),
            _ => Err(self.error("the arguments of a call do not fit it")),
        }
    }

    /// An object of a class, made without calling it.
    fn new_object(&mut self, opcode: u8) -> Result<Value, PthProblem> {
        if opcode == op::NEWOBJ_EX {
            self.pop()?;
        }
        let (args, class) = (self.pop()?, self.pop()?);
        match (class, self.heap.node(args)) {
            (Value::Global(Global::Inert), Some(Node::Tuple(_))) => self.heap.add(Node::Opaque),
            (Value::Global(Global::OrderedDict), Some(Node::Tuple(_))) => {
                self.heap.add(Node::Dict(Vec::new()))
            }
            _ => Err(self.error("it makes an object of what is not among the types of a checkpoint")),
        }
    }

    /// `_rebuild_tensor(storage, offset, size, stride, …)`; what follows concerns gradients alone.
    fn tensor(&mut self, args: Value) -> Result<Value, PthProblem> {
        let unfit = |machine: &Self| machine.error("a tensor is not described as PyTorch does it");
        self.heap.charge(size_of::<View>() as u64 + 2 * (MAX_RANK * size_of::<usize>()) as u64)?;
        let Some(&[storage, Value::Int(offset), shape, strides, ..]) = self.heap.items(args) else {
            return Err(unfit(self));
        };
        let Some(Node::Storage(storage)) = self.heap.node(storage) else { return Err(unfit(self)) };
        let (shape, strides) = (self.sizes(shape), self.sizes(strides));
        let (Ok(offset), Some(shape), Some(strides)) = (u64::try_from(offset), shape, strides) else {
            return Err(unfit(self));
        };
        if shape.len() != strides.len() || shape.len() > MAX_RANK {
            return Err(unfit(self));
        }
        let view = View::new(storage, offset, shape, strides)?;
        self.charge_key(view.storage.len())?;
        self.heap.add(Node::Tensor(Arc::new(view)))
    }

    fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let Some(Node::Tuple(items)) = self.heap.node(value) else { return None };
        // A tensor with more dimensions is refused anyway.
        let size = |item: &Value| match item {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        items.iter().take(MAX_RANK + 1).map(size).collect()
    }

    fn charge_key(&mut self, len: usize) -> Result<(), PthProblem> {
        self.heap.charge(2 * len as u64)
    }

    /// `("storage", class, key, device, elements)`; in files before PyTorch 0.4 a sixth says which part of another.
    fn persistent(&mut self) -> Result<Value, PthProblem> {
        let id = self.pop()?;
        let parts = self.heap.items(id);
        let parts = parts.filter(|parts| matches!(parts.get(5), None | Some(Value::None)));
        let Some(&[kind, Value::Global(Global::Storage(element)), key, _device, Value::Int(elements), ..]) =
            parts
        else {
            return Err(self.error("a storage is not described as PyTorch does it"));
        };
        match (self.heap.text(kind), self.heap.text(key), u64::try_from(elements)) {
            (Some("storage"), Some(key), Ok(elements)) => {
                let key: Box<str> = key.into();
                self.storage(key, element, elements)
            }
            _ => Err(self.error("a storage is not described as PyTorch does it")),
        }
    }

    fn storage(&mut self, key: Box<str>, element: Element, elements: u64) -> Result<Value, PthProblem> {
        self.charge_key(key.len() + size_of::<Storage>())?;
        self.heap.add(Node::Storage(Box::new(Storage { key, element, elements })))
    }
}
