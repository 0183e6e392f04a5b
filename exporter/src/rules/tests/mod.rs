//! Tests of the rule language as a whole. Most are tables: what is written, an event, what happens.

mod conditions;
mod diagnostics;
mod exceptions;
mod loading;
mod output;
mod properties;
mod stock;
mod support;
mod table;
