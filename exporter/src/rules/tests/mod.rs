//! Tests of the rule language as a whole. Most are tables: what is written, an event, what happens.

mod conditions;
mod stock;
mod support;
