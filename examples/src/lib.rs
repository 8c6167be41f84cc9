//! The examples are under `examples/`; this library is empty.
