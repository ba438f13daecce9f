//! Families of counters and gauges whose label's values are those of a Rust type, so that no call can misspell one.

use std::marker::PhantomData;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// A type whose values are the values of a label.
pub trait Label: Copy + 'static {
    /// The value as it is shown.
    fn label(self) -> &'static str;
}

/// Counters of one name: one for each value of the label.
#[derive(Debug, Clone)]
pub struct Counters<L> {
    inner: IntCounterVec,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    /// The family in `inner`, which has this one label.
    pub(super) fn new(inner: IntCounterVec) -> Self {
        Self {
            inner,
            label: PhantomData,
        }
    }

    /// The counter of this value.
    pub fn of(&self, value: L) -> IntCounter {
        self.inner.with_label_values(&[value.label()])
    }
}

/// Gauges of one name: one for each value of the label that was ever set.
#[derive(Debug, Clone)]
pub struct Gauges<L> {
    inner: IntGaugeVec,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Gauges<L> {
    /// The family in `inner`, which has this one label.
    pub(super) fn new(inner: IntGaugeVec) -> Self {
        Self {
            inner,
            label: PhantomData,
        }
    }

    /// The gauge of this value.
    pub fn of(&self, value: L) -> IntGauge {
        self.inner.with_label_values(&[value.label()])
    }
}
