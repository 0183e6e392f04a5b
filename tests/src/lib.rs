//! Tests of Yagura on the running kernel.
