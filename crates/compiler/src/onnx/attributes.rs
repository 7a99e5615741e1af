//! Attributes by name and type; what was not read is refused.

use std::collections::BTreeMap;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::{ImportError, node_name};

/// The attributes of one node, taken one by one.
pub(super) struct Attributes<'a> {
    node: String,
    operator: String,
    opset: i64,
    left: BTreeMap<&'a str, &'a AttributeProto>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto, opset: i64) -> Result<Self, ImportError> {
        let mut attributes = Attributes { node: node_name(node), operator: node.op_type.clone(), opset, left: BTreeMap::new() };
        for attribute in &node.attribute {
            if !attribute.ref_attr_name.is_empty() {
                return Err(attributes.wrong(&attribute.name, "refers to a function's attribute, which is not supported"));
            }
            if attributes.left.insert(&attribute.name, attribute).is_some() {
                return Err(attributes.wrong(&attribute.name, "is there twice"));
            }
        }
        Ok(attributes)
    }

    /// An error about one attribute.
    pub(super) fn wrong(&self, attribute: &str, reason: impl Into<String>) -> ImportError {
        ImportError::Attribute {
            node: self.node.clone(),
            operator: self.operator.clone(),
            attribute: attribute.to_owned(),
            reason: reason.into(),
        }
    }

    fn take(&mut self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, ImportError> {
        match self.left.remove(name) {
            Some(attribute) if attribute.r#type == kind as i32 => Ok(Some(attribute)),
            Some(_) => Err(self.wrong(name, format!("is not of type {}", kind.as_str_name()))),
            None => Ok(None),
        }
    }

    /// Refuses an attribute that does not exist in the model's operator set, where runtimes differ in what they make of it.
    pub(super) fn exists(&self, name: &str, versions: std::ops::RangeInclusive<i64>) -> Result<(), ImportError> {
        if self.left.contains_key(name) && !versions.contains(&self.opset) {
            let (first, last) = versions.into_inner();
            let last = if last == i64::MAX { "on".to_owned() } else { format!("to {last}") };
            return Err(self.wrong(name, format!("exists from operator set {first} {last} only, and the model uses {}", self.opset)));
        }
        Ok(())
    }

    pub(super) fn int(&mut self, name: &str) -> Result<Option<i64>, ImportError> {
        Ok(self.take(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    /// A flag or a fixed value: absent or equal to `only`.
    pub(super) fn only(&mut self, name: &str, only: i64) -> Result<(), ImportError> {
        match self.int(name)? {
            Some(value) if value != only => Err(self.wrong(name, format!("is {value}; only {only} is supported"))),
            _ => Ok(()),
        }
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool, ImportError> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(value) => Err(self.wrong(name, format!("is {value} where 0 or 1 is needed"))),
        }
    }

    pub(super) fn float(&mut self, name: &str, default: f32) -> Result<f64, ImportError> {
        let value = self.take(name, AttributeType::Float)?.map_or(default, |attribute| attribute.f);
        if value.is_finite() { Ok(value.into()) } else { Err(self.wrong(name, "is not a finite number")) }
    }

    /// A float that may be infinite or no number, which stands for what is missing.
    pub(super) fn any_float(&mut self, name: &str) -> Result<Option<f64>, ImportError> {
        Ok(self.take(name, AttributeType::Float)?.map(|attribute| attribute.f.into()))
    }

    pub(super) fn floats(&mut self, name: &str) -> Result<Option<&'a [f32]>, ImportError> {
        Ok(self.take(name, AttributeType::Floats)?.map(|attribute| attribute.floats.as_slice()))
    }

    pub(super) fn ints(&mut self, name: &str) -> Result<Option<&'a [i64]>, ImportError> {
        Ok(self.take(name, AttributeType::Ints)?.map(|attribute| attribute.ints.as_slice()))
    }

    /// Exactly `count` sizes, each at least `least` and at most 2^26.
    pub(super) fn sizes(&mut self, name: &str, count: usize, least: usize) -> Result<Option<Vec<usize>>, ImportError> {
        let Some(list) = self.ints(name)? else {
            return Ok(None);
        };
        let sizes: Vec<usize> = list
            .iter()
            .filter_map(|&n| usize::try_from(n).ok().filter(|n| (least..=zkslice_graph::limits::MAX_ELEMENTS).contains(n)))
            .collect();
        if list.len() != count || sizes.len() != count {
            return Err(self.wrong(name, format!("is {list:?} where {count} numbers of at least {least} are needed")));
        }
        Ok(Some(sizes))
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, ImportError> {
        Ok(self.take(name, AttributeType::String)?.map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned()))
    }

    pub(super) fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>, ImportError> {
        let list = self.take(name, AttributeType::Strings)?.map(|attribute| &attribute.strings);
        Ok(list.map(|list| list.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()))
    }

    pub(super) fn tensor(&mut self, name: &str) -> Result<Option<&'a TensorProto>, ImportError> {
        Ok(self.take(name, AttributeType::Tensor)?.and_then(|attribute| attribute.t.as_ref()))
    }

    pub(super) fn graph(&mut self, name: &str) -> Result<Option<&'a GraphProto>, ImportError> {
        Ok(self.take(name, AttributeType::Graph)?.and_then(|attribute| attribute.g.as_ref()))
    }

    /// Reads and drops an attribute that cannot change an inference.
    pub(super) fn ignore(&mut self, name: &str) {
        self.left.remove(name);
    }

    /// Refuses the first attribute that was not read.
    pub(super) fn finish(self) -> Result<(), ImportError> {
        match self.left.keys().next() {
            Some(name) => Err(self.wrong(name, "is not supported")),
            None => Ok(()),
        }
    }
}
